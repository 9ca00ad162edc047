"""The recurrent network that writes sequences of tokens, and its training; PyTorch is needed here.

Nothing draws from PyTorch's generators: the weights begin where a seed puts them, and a draw is a
function of the numbers that it is given.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import torch

from nbtune.searchers.tokens import INACTIVE, Axis

__all__ = ["PULL", "Controller", "one_thread"]

Array: TypeAlias = np.ndarray[Any, Any]
Tensor: TypeAlias = Any  # PyTorch is an extra: types are checked without it

PULL = 0.5
"""What the best sequences weigh beside the newest, whose advantages lie within 1 of 0."""

_STREAM = 0x1A5F3  # keeps these weights apart from other families' draws
_NEAR = 1.0  # how many tokens away a neighbour still counts 0.6, the standard deviation
_SPREAD = 0.1  # of the first weights (Pham et al. 2018, section 3.1)


class Controller:
    """An LSTM that chooses a token for one axis after another, each in view of those before.

    As in Zoph & Le 2017 (arXiv:1611.01578, section 3.1) and in ENAS (Pham et al. 2018,
    arXiv:1802.03268): the embedding of the last choice is the next input, and each axis has a
    linear layer and a softmax of its own. An axis that is not active is passed over. On an ordered
    axis the scores before the softmax are smoothed, so that neighbouring quantiles learn together.

    Parameters
    ----------
    axes : sequence of Axis
    seed : int >= 0
    width : int >= 1
        Of the embedding and of the LSTM's state.
    learning_rate : float > 0
        Adam's.
    """

    def __init__(
        self, axes: Sequence[Axis], *, seed: int, width: int, learning_rate: float
    ) -> None:
        self._axes = list(axes)
        self._width = width
        counts = [axis.count for axis in axes]
        self._firsts = np.cumsum([0, *counts]).tolist()  # each axis's first row of the embedding
        shapes: list[tuple[int, ...]] = [(sum(counts), width)]
        shapes += [(4 * width, width), (4 * width, width), (4 * width,), (4 * width,)]
        shapes += [shape for count in counts for shape in ((count, width), (count,))]
        rng = np.random.default_rng((_STREAM, seed))
        self._weights = [
            torch.from_numpy(rng.uniform(-_SPREAD, _SPREAD, shape).astype(np.float32))
            for shape in shapes
        ]
        for weights in self._weights:
            weights.requires_grad_()
        self._priors = [torch.from_numpy(np.log(axis.weights).astype(np.float32)) for axis in axes]
        self._smooth = [
            torch.from_numpy(_smoothing(axis.count)) if axis.ordered else None for axis in axes
        ]
        self._adam = torch.optim.Adam(self._weights, learning_rate, foreach=False)

    def draw(self, shares: Array) -> tuple[Array, Array]:
        """Draw sequences.

        Parameters
        ----------
        shares : array, shape (n, n_axes)
            In [0, 1): uniform numbers, one of which makes each choice.

        Returns
        -------
        tokens : integer array, shape (n, n_axes)
        probabilities : array, shape (n,)
            Of each whole sequence.
        """

        def choose(index: int, logs: Tensor) -> Tensor:
            heaps = logs.exp().cumsum(1)
            reached = torch.from_numpy(shares[:, index : index + 1]) * heaps[:, -1:]
            return (heaps <= reached).sum(1).clamp(max=heaps.shape[1] - 1)

        with torch.no_grad():
            steps = list(self._walk(len(shares), choose))
            tokens = torch.stack([chosen for chosen, _, _ in steps], dim=1)
            logs = _total([log for _, log, _ in steps])
        return tokens.numpy(), np.exp(logs.double().numpy())

    def probabilities(self, tokens: Array) -> Array:
        """Return the probability of each sequence, shape (n,); tokens have shape (n, n_axes)."""
        with torch.no_grad():
            logs, _ = self._follow(tokens)
        found: Array = np.exp(logs.double().numpy())
        return found

    def learn(self, tokens: Array, advantages: Array, best: Array, *, entropy: float) -> None:
        """Take one step of Adam, by REINFORCE and towards the best sequences.

        Up the gradient of the mean of advantage times log-probability (Williams 1992), of the mean
        entropy of the choices, `entropy` times, and of the mean log-probability of the best, `PULL`
        times (priority queue training: Abolafia et al. 2018, arXiv:1801.03526).

        Parameters
        ----------
        tokens : integer array, shape (n, n_axes)
        advantages : array, shape (n,)
            Rewards less the baseline.
        best : integer array, shape (n_best, n_axes)
            May be empty.
        entropy : float >= 0
            The bonus for choices that are not yet made up.
        """
        count = len(tokens)
        logs, entropies = self._follow(np.concatenate([tokens, best]))
        shares = np.concatenate([advantages / count, np.full(len(best), PULL / max(len(best), 1))])
        gain = (torch.from_numpy(shares.astype(np.float32)) * logs).sum()
        loss = -(gain + entropy * entropies[:count].mean())
        gradients = torch.autograd.grad(loss, self._weights, materialize_grads=True)
        for weights, gradient in zip(self._weights, gradients, strict=True):
            weights.grad = gradient  # zeros, not None, where it is none: the moments fade alike
        self._adam.step()

    def _follow(self, tokens: Array) -> tuple[Tensor, Tensor]:
        """Return log-probability and entropy of sequences, each of shape (n,)."""
        known = torch.from_numpy(tokens)
        steps = list(self._walk(len(tokens), lambda index, _: known[:, index].clamp(min=0)))
        return _total([log for _, log, _ in steps]), _total([spread for _, _, spread in steps])

    def _walk(
        self, n: int, choose: Callable[[int, Tensor], Tensor]
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield each axis's tokens, their log-probabilities and entropies, each of shape (n,)."""
        embedding, *recurrent = self._weights[:5]
        given, hidden, cell = (torch.zeros(n, self._width) for _ in range(3))
        made: list[Tensor] = []
        for index, axis in enumerate(self._axes):
            linear, bias = self._weights[5 + 2 * index : 7 + 2 * index]
            state = torch.lstm_cell(given, (hidden, cell), *recurrent)
            scores, smooth = torch.nn.functional.linear(state[0], linear, bias), self._smooth[index]
            scores = scores if smooth is None else scores @ smooth
            logs = torch.log_softmax(scores + self._priors[index], dim=1)
            chosen = choose(index, logs)
            active = torch.ones(n, dtype=torch.bool)
            if axis.parent is not None:
                active = made[axis.parent[0]] == axis.parent[1]
            made.append(torch.where(active, chosen, INACTIVE))
            log = logs.gather(1, chosen[:, None])[:, 0]
            spread = -(logs.exp() * logs).sum(1)
            yield made[-1], torch.where(active, log, 0.0), torch.where(active, spread, 0.0)
            here = active[:, None]
            given = torch.where(here, embedding[chosen + self._firsts[index]], given)
            hidden, cell = torch.where(here, state[0], hidden), torch.where(here, state[1], cell)


def _smoothing(count: int) -> Any:
    """Return the share of each token's score in each other's, shape (count, count)."""
    apart = np.subtract.outer(np.arange(count), np.arange(count)) / _NEAR
    shares = np.exp(-0.5 * apart * apart)
    shares /= np.sqrt((shares * shares).sum(axis=0))
    return shares.astype(np.float32)


def _total(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(parts)).sum(0)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep PyTorch to one thread: the matrices are small, and their sums the same everywhere."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
