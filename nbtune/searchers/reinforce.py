"""Reinforce: a recurrent network writes params, and is rewarded for those that score well."""

import importlib.util
import math
import numbers
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nbtune.arguments import check_integer, finite
from nbtune.exceptions import SpecError
from nbtune.searchers.base import Searcher
from nbtune.searchers.tokens import Tokens
from nbtune.searchers.untried import draw_untried, drawable, list_untried
from nbtune.space import Space
from nbtune.trial import Params

if TYPE_CHECKING:
    from nbtune.searchers.controller import Controller

__all__ = ["Reinforce"]

_STREAM = 0x4E1F0  # keeps these draws apart from other families' draws for the same trial
_DRAWS = 64  # sequences a suggestion, of which the first untried one is taken
_MOST_WEIGHED = 2000  # points of a space, of which all that are left are weighed


@dataclass(slots=True)
class _Told:
    """A trial that has ended; without tokens where the controller could not have drawn it."""

    tokens: Any
    score: float


class Reinforce(Searcher):
    """Let an LSTM write the params token by token, and train it by REINFORCE (extra ``rl``).

    The controller of Zoph & Le 2017 (arXiv:1611.01578, section 3.2), as ENAS has it (Pham et al.
    2018, arXiv:1802.03268): each param is a choice among a few tokens (`Tokens`), in view of those
    made before; a branch's params are chosen when it is. Choices, switches and short lists keep
    their values, other numbers are cut into quantiles, log domains by the logarithm, and the value
    within a quantile is drawn evenly. Once `batch` trials have ended, one step of Adam makes those
    that did better than the baseline likelier, and so it does the best trials so far (priority
    queue training: Abolafia et al. 2018, arXiv:1801.03526), without which the controller settles
    on what is good on average and misses the best.

    A trial's reward is its rank, from 0 for the worst of the trials so far to 1 for the best: so
    neither the unit nor an outlier matters. Failed trials and those without a finite score share
    the lowest rank. The baseline is the rewards' moving average, from 0.5 on. Trials that were not
    its own, the defaults among them, are learnt from as if they were; a pending one is only not
    repeated.

    No point is suggested twice while there are others. Where all that it draws was tried, the
    controller's probabilities decide among the points left over of a space of up to 2,000; of a
    larger one, params are drawn at random.

    It learns slowly: it wants hundreds of trials, where `Bayes` wants dozens.

    Parameters
    ----------
    learning_rate : float above 0 and below 1
        Adam's step.
    batch : int >= 1
        How many ended trials make a step.
    baseline_decay : float from 0 to below 1
        How much of the baseline each reward leaves.
    entropy : float of at least 0 and below 1000
        The bonus, in units of reward, for choices that are still open; more explores longer.
    elite : int >= 0
        How many of the best trials each step makes likelier, at most a fifth of those that have a
        score; 0 is REINFORCE alone, which then wants a lower `entropy`, such as 0.1.
    quantiles : int >= 2
        How many parts a number with many values is cut into.
    width : int >= 1
        Of the LSTM's state and of the tokens' embedding.

    Raises
    ------
    SpecError
        When PyTorch is not installed, or an argument is of the wrong type or out of range.
    """

    apart = True

    def __init__(
        self,
        learning_rate: float = 0.005,
        *,
        batch: int = 1,
        baseline_decay: float = 0.95,
        entropy: float = 0.3,
        elite: int = 10,
        quantiles: int = 10,
        width: int = 32,
    ) -> None:
        self.learning_rate = _number("learning_rate", learning_rate, 0.0, 1.0, strict=True)
        self.batch = check_integer("searcher", "Reinforce", "batch", batch, 1)
        self.baseline_decay = _number("baseline_decay", baseline_decay, 0.0, 1.0)
        self.entropy = _number("entropy", entropy, 0.0, 1000.0)
        self.elite = check_integer("searcher", "Reinforce", "elite", elite, 0)
        self.quantiles = check_integer("searcher", "Reinforce", "quantiles", quantiles, 2)
        self.width = check_integer("searcher", "Reinforce", "width", width, 1)
        _require_torch()

    def __repr__(self) -> str:
        return (
            f"Reinforce({self.learning_rate}, batch={self.batch}, "
            f"baseline_decay={self.baseline_decay}, entropy={self.entropy}, "
            f"elite={self.elite}, quantiles={self.quantiles}, width={self.width})"
        )

    def setup(self, space: Space, *, seed: int) -> None:
        """Take the space and the seed; PyTorch is not imported yet.

        Raises
        ------
        SpecError
            When PyTorch is not installed.
        """
        _require_torch()
        super().setup(space, seed=seed)
        self.finite = space.size is not None
        self.why = ""
        self._tokens = Tokens(space, self.quantiles)
        self._told: dict[Hashable, _Told] = {}  # by key, in the order in which they ended
        self._restart()

    def _restart(self) -> None:
        """Forget what was learnt, not what was told."""
        self._controller: Controller | None = None
        self._learnt = 0  # of those told, how many made steps
        self._baseline = 0.5

    def warm_up(self) -> None:
        """Import PyTorch, which takes seconds."""
        from nbtune.searchers import controller  # noqa: F401, PLC0415 - that is it

    def suggest(self, number: int, pending: Sequence[Params]) -> Params | None:
        """Return a point that is neither observed nor `pending`; None when there is none."""
        from nbtune.searchers.controller import one_thread  # noqa: PLC0415 - PyTorch takes seconds

        tried = {*self._told, *map(self.space.key, pending)}
        if self.space.size is not None and len(tried) >= self.space.size:
            return None
        if not self.space.n_dims:
            return draw_untried(self.space, tried, seed=self.seed, number=number)
        rng = np.random.default_rng((_STREAM, self.seed, number))
        with one_thread():
            controller = self._trained()
            found = self._drawn(controller, tried, rng) or self._weighed(controller, tried, rng)
        if found is None:
            self.why = "drawn at random: all that the controller drew was tried"
            return draw_untried(self.space, tried, seed=self.seed, number=number)
        params, probability = found
        self.why = f"controller, probability {probability:.2g}, baseline {self._baseline:.2f}"
        return params

    def observe(self, params: Params, score: float | None, *, step: int, ended: bool) -> None:
        """Keep the last score of a trial; a later one of the same params takes its place."""
        if not ended:
            return
        key = self.space.key(params)
        rewarded = -math.inf if score is None else score
        if key not in self._told:
            self._told[key] = _Told(self._tokens.of(params), rewarded)
            return
        self._told[key].score = rewarded  # it was paused, and went on
        self._restart()

    def size(self) -> int | None:
        """Return the number of points of a finite space, that of the defaults included."""
        return self.space.size

    def _drawn(
        self, controller: "Controller", tried: set[Hashable], rng: np.random.Generator
    ) -> tuple[Params, float] | None:
        """Return the first of some draws that is untried, and its probability."""
        shape = _DRAWS, self.space.n_dims
        sequences, probabilities = controller.draw(rng.random(shape))
        for tokens, probability, shares in zip(
            sequences, probabilities, rng.random(shape), strict=True
        ):
            params = self._tokens.params(tokens, shares)
            if self.space.key(params) not in tried and drawable(self.space, params):
                return params, float(probability)
        return None

    def _weighed(
        self, controller: "Controller", tried: set[Hashable], rng: np.random.Generator
    ) -> tuple[Params, float] | None:
        """Return one of the points left over of a small space, drawn as the controller would."""
        if self.space.size is None or self.space.size > _MOST_WEIGHED:
            return None
        left = list_untried(self.space, tried)
        if not left:
            return None
        sequences = np.array([self._tokens.of(params) for params in left])
        probabilities = controller.probabilities(sequences) + 1e-30  # none at all has no share
        chosen = int(rng.choice(len(left), p=probabilities / probabilities.sum()))
        return left[chosen], float(probabilities[chosen])

    def _trained(self) -> "Controller":
        """Return the controller, trained on all whole batches of what was told."""
        from nbtune.searchers.controller import Controller  # noqa: PLC0415 - as above

        if self._controller is None:
            self._controller = Controller(
                self._tokens.axes,
                seed=self.seed,
                width=self.width,
                learning_rate=self.learning_rate,
            )
        told = list(self._told.values())
        while self._learnt + self.batch <= len(told):
            self._learnt += self.batch
            self._step(self._controller, told[: self._learnt])
        return self._controller

    def _step(self, controller: "Controller", told: list[_Told]) -> None:
        """Learn from the newest batch; the baseline is the one before it."""
        rewards = ranks([each.score for each in told])
        newest = range(len(told) - self.batch, len(told))
        before = self._baseline
        for index in newest:
            self._baseline += (1.0 - self.baseline_decay) * (rewards[index] - self._baseline)
        usable = [index for index, each in enumerate(told) if each.tokens is not None]
        own = [index for index in usable if index in newest]
        scored = [index for index in usable if math.isfinite(told[index].score)]
        scored.sort(key=lambda index: -rewards[index])
        best = scored[: min(self.elite, len(scored) // 5)]
        if own:
            controller.learn(
                self._rows(told, own),
                rewards[own] - before,
                self._rows(told, best),
                entropy=self.entropy,
            )

    def _rows(self, told: list[_Told], indices: list[int]) -> Any:
        rows = [told[index].tokens for index in indices]
        return np.array(rows, dtype=np.int64).reshape(-1, self.space.n_dims)


def ranks(scores: Sequence[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the rank of each score from 0, the lowest, to 1, shape (n,).

    Equal ones share their mean rank; a single one has 0.5. Those of ``-inf`` have 0.
    """
    values = np.asarray(scores, dtype=np.float64)
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, side="left")
    upto = np.searchsorted(ordered, values, side="right")
    if len(values) == 1:
        return np.where(np.isfinite(values), 0.5, 0.0)
    return np.where(np.isfinite(values), (below + upto - 1) / 2 / (len(values) - 1), 0.0)


def _require_torch() -> None:
    if importlib.util.find_spec("torch") is None:
        raise SpecError(
            "Reinforce needs PyTorch, which is not installed. "
            "Install it: pip install 'nbtune[rl]', or use searcher='bayes'",
            "searcher",
        )


def _number(name: str, value: object, low: float, high: float, *, strict: bool = False) -> float:
    """Return `value` as a float if it is from `low` to below `high`; if `strict` above `low`."""
    number = finite(value) if isinstance(value, numbers.Real) else None
    number = math.nan if number is None else number
    if low <= number < high and not (strict and number == low):
        return number
    lower = f"above {low:g}" if strict else f"of at least {low:g}"
    raise SpecError(
        f"Reinforce({name}={value!r}): needs a number {lower} and below {high:g}",
        f"searcher.{name}",
    )
