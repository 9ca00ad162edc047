"""Rules that judge a trial by the scores of the others at the same step."""

import bisect
import math
from collections.abc import Sequence

from nbtune.arguments import check_flag, check_share
from nbtune.decision import Continue, Stop
from nbtune.schedulers.peer_rule import PeerRule

__all__ = ["AverageRule", "DiffRule", "TruncationRule"]

_TINY = 1e-12  # stands for a best score of 0 in a relative difference


class AverageRule(PeerRule):
    """Stop a trial whose score is below the mean of the others' scores at the same step.

    Parameters
    ----------
    grace_period, interval, min_samples : int >= 1
        When a trial is judged: see `PeerRule`.
    """

    def needed(self, step: int, own: float, others: Sequence[float]) -> tuple[float, str]:
        """Return the mean, ``-inf`` when one of the others is that."""
        mean = math.fsum(others) / len(others) if math.isfinite(others[0]) else others[0]
        # Rounding must not put the mean of equal scores above them.
        return min(mean, others[-1]), f"below the average of {len(others)} others"


class DiffRule(PeerRule):
    """Stop a trial whose score is too far from the best at the same step.

    The distance is ``|best - score| / |best|``, with the trial itself among those that can be
    best.

    Parameters
    ----------
    share : float in [0, 1], or a percentage up to 99
        The largest distance that goes on; with 0 only the best goes on.
    grace_period, interval, min_samples : int >= 1
        When a trial is judged: see `PeerRule`.
    """

    def __init__(
        self, share: float = 0.0, grace_period: int = 1, interval: int = 1, min_samples: int = 3
    ) -> None:
        super().__init__(grace_period, interval, min_samples)
        self.share = check_share("scheduler", "DiffRule", "share", share)

    def needed(self, step: int, own: float, others: Sequence[float]) -> tuple[float, str]:
        """Return the score at that distance from the best."""
        best = max(own, others[-1])
        distance = self.share * max(abs(best), _TINY) if math.isfinite(best) else 0.0
        return best - distance, f"more than {100 * self.share:g} % below the best"

    def _arguments(self) -> dict[str, object]:
        return {"share": self.share, **super()._arguments()}


class TruncationRule(PeerRule):
    """Stop the worst part of the running trials at each step.

    Of the running trials that have reported at the step, the one that reports among them, the
    worst ``floor(share * count)`` are to stop.

    Parameters
    ----------
    share : float in [0, 1], or a percentage up to 99
        The part of the running trials to stop.
    include_finished : bool
        Whether trials that ended by themselves are ranked too; they do not raise the number of
        trials to stop.
    grace_period, interval, min_samples : int >= 1
        When a trial is judged: see `PeerRule`; here the others are those that are ranked.
    """

    def __init__(
        self,
        share: float = 0.2,
        include_finished: bool = False,
        grace_period: int = 1,
        interval: int = 1,
        min_samples: int = 3,
    ) -> None:
        super().__init__(grace_period, interval, min_samples)
        self.share = check_share("scheduler", "TruncationRule", "share", share)
        self.include_finished = check_flag(
            "scheduler", "TruncationRule", "include_finished", include_finished
        )

    def setup(self, *, seed: int, step_name: str = "epoch", max_t: int | None = None) -> None:
        """Take the step's name; forget every trial."""
        super().setup(seed=seed, step_name=step_name, max_t=max_t)
        self._running: dict[int, list[tuple[int, float]]] = {}  # steps and scores, by trial
        self._finished: dict[int, int] = {}  # how many that finished are ranked, by step

    def decide(self, number: int, step: int, score: float) -> Continue | Stop:
        """Judge trial `number` at `step`; one that is stopped leaves the ranking."""
        known = len(self._others.get(step, ()))
        decision = super().decide(number, step, score)
        if len(self._others.get(step, ())) > known:
            self._running.setdefault(number, []).append((step, score))
        if isinstance(decision, Stop):
            self._forget(number)
        return decision

    def end(self, number: int, step: int, score: float | None) -> None:
        """Take the trial out of the ranking, or keep it there as one that has finished."""
        if score is None or not self.include_finished:
            self._forget(number)
            return
        for at, _ in self._running.pop(number, ()):
            self._finished[at] = self._finished.get(at, 0) + 1

    def needed(self, step: int, own: float, others: Sequence[float]) -> tuple[float, str]:
        """Return the score of the best trial that is to stop; who ties with it goes on."""
        running = len(others) + 1 - self._finished.get(step, 0)
        count = math.floor(self.share * running + 1e-9)  # 0.29 * 100 is 28.999...
        reason = f"among the worst {count} of {running} running trials"
        return (others[min(count, len(others)) - 1] if count else -math.inf), reason

    def _forget(self, number: int) -> None:
        for step, score in self._running.pop(number, ()):
            others = self._others[step]
            del others[bisect.bisect_left(others, score)]

    def _arguments(self) -> dict[str, object]:
        own = {"share": self.share, "include_finished": self.include_finished}
        return {**own, **super()._arguments()}
