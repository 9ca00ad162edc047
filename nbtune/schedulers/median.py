"""The median rule: a trial whose best is below the others' usual course is stopped."""

from collections.abc import Sequence

from nbtune.schedulers.peer_rule import PeerRule

__all__ = ["MedianRule", "median"]


def median(ascending: Sequence[float]) -> float:
    """Return the median of sorted scores, shape (n >= 1,); of an even number, the middle of two."""
    half = len(ascending) // 2
    if len(ascending) % 2:
        return ascending[half]
    return ascending[half - 1] / 2 + ascending[half] / 2  # ties stay ties, -inf stays -inf


class MedianRule(PeerRule):
    """Stop a trial whose best score so far is below the median of the others' running averages.

    The running average of a trial at step t is the mean of all its scores up to t. Others count
    whether they run or have ended (Golovin et al. 2017, doi:10.1145/3097983.3098043, section
    3.2.1). A trial asks at each report, since every one enters the average.

    Parameters
    ----------
    grace_period, interval, min_samples : int >= 1
        When a trial is judged: see `PeerRule`.
    """

    needs_every_report = True

    def setup(self, *, seed: int, step_name: str = "epoch", max_t: int | None = None) -> None:
        """Take the step's name; forget every trial."""
        super().setup(seed=seed, step_name=step_name, max_t=max_t)
        self._sums: dict[int, tuple[float, int]] = {}  # of a trial's scores, and their count
        self._best: dict[int, float] = {}

    def needed(self, step: int, own: float, others: Sequence[float]) -> tuple[float, str]:
        """Return the median of the others' running averages."""
        return median(others), f"below the median of {len(others)} others"

    def _take_in(self, number: int, score: float) -> tuple[float, float]:
        total, count = self._sums.get(number, (0.0, 0))
        self._sums[number] = total, count = total + score, count + 1
        self._best[number] = max(score, self._best.get(number, score))
        return self._best[number], total / count
