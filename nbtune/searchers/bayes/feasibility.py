"""How likely a trial is to succeed, learnt from those that failed."""

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from nbtune.searchers.bayes.columns import Columns

if TYPE_CHECKING:
    from nbtune.searchers.bayes.outlook import Outlook

__all__ = ["Feasibility", "Feasible"]

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Flags: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]

_MOST_MODELLED = 200  # trials
_NOISE = -2.0, 2.0  # of the logarithm of a variance: some trials fail by chance
# Where between success, 0, and failure, 1, a prediction turns: at a half more trials failed next to
# the border of what fails, and less was found there.
_CAUTION = 0.25
_ALWAYS_REFITTED = 60  # trials; with more, the kernel is found anew at every twentieth


class Feasibility:
    """Learns where trials fail.

    A Gaussian process regression on who failed, its prediction squashed by the normal distribution
    function (least-squares classification: Rasmussen and Williams 2006, section 6.5).

    Parameters
    ----------
    columns : Columns
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._kernel: tuple[int, Array] | None = None  # and by how many trials it was found

    def of(self, outlook: "Outlook", places: Array, fine: Flags) -> "Outlook | Feasible":
        """Return the outlook with its promise worth what success is likely.

        Parameters
        ----------
        outlook : Outlook
            What trials promise if they succeed.
        places : array, shape (n, n_dims)
            Of all trials, the oldest first.
        fine : boolean array, shape (n,)
            Which of them succeeded.
        """
        from nbtune.searchers.bayes.gaussian import GaussianProcess  # noqa: PLC0415 - skopt takes seconds
        from nbtune.searchers.bayes.outlook import Outlook  # noqa: PLC0415 - as above

        newest = fine[-_MOST_MODELLED:]
        if newest.all() or not newest.any():
            return outlook
        columns = self._columns
        model = GaussianProcess(self._found(places, fine), columns.groups)
        y = _labels(newest)
        model.fit(columns.of(places[-_MOST_MODELLED:]), y)
        between = float(y.min() + _CAUTION * (y.max() - y.min()))
        return Feasible(outlook, Outlook(columns, model, between, kind="PI", xi=0.0, kappa=0.0))

    def _found(self, places: Array, fine: Flags) -> Array:
        """Return the kernel, a function of the trials alone and not of when it was asked for."""
        from nbtune.searchers.bayes.gaussian import most_probable  # noqa: PLC0415 - as above

        count = len(fine)
        if count > _ALWAYS_REFITTED:
            count -= count % 20
        known = fine[:count][-_MOST_MODELLED:]
        if known.all() or not known.any():
            count, known = len(fine), fine[-_MOST_MODELLED:]
        if self._kernel is None or self._kernel[0] != count:
            x = self._columns.of(places[:count][-_MOST_MODELLED:])
            y, groups = _labels(known), self._columns.groups
            self._kernel = count, most_probable(x, y, groups, noise=_NOISE)
        return self._kernel[1]


def _labels(fine: Flags) -> Array:
    """Return what is regressed on: failures above 0, successes below, with mean 0, variance 1."""
    share = float((~fine).mean())
    return np.asarray((np.where(fine, 0.0, 1.0) - share) / math.sqrt(share * (1.0 - share)))


class Feasible:
    """An outlook whose promise is worth its probability of success.

    Gelbart, Snoek and Adams 2014, arXiv:1403.5607, equation 7, in logarithms.

    Parameters
    ----------
    outlook : Outlook
        What trials promise if they succeed.
    chance : Outlook
        Its promise is the logarithm of the probability that they do.
    """

    def __init__(self, outlook: "Outlook", chance: "Outlook") -> None:
        self._outlook = outlook
        self._chance = chance

    @property
    def has_slope(self) -> bool:
        """Whether `slope` can be asked."""
        return self._outlook.has_slope

    def sure(self, place: Array) -> float:
        """Return how sure one place, (1, n_dims), is to succeed, from 0 to 1."""
        return math.exp(float(self._chance.promise(place)[0]))

    def promise(self, places: Array) -> Array:
        """Return the promise of places, shape (n, n_dims)."""
        return self._outlook.promise(places) + self._chance.promise(places)

    def slope(self, place: Array) -> tuple[float, Array]:
        """Return the promise of one place, shape (n_dims,), and its gradient."""
        value, by_place = self._outlook.slope(place)
        chance, chance_by_place = self._chance.slope(place)
        return value + chance, by_place + chance_by_place
