"""Adam for a few small tensors; PyTorch's own would first import its compiler, for seconds."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch

__all__ = ["Adam"]

Tensor: TypeAlias = Any  # PyTorch is an extra: types are checked without it

_BETAS, _EPSILON = (0.9, 0.999), 1e-8


class Adam:
    """Descends gradients (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1).

    Parameters
    ----------
    weights : sequence of tensor
        Changed in place.
    learning_rate : float > 0
    """

    def __init__(self, weights: Sequence[Tensor], learning_rate: float) -> None:
        self._weights = weights
        self._learning_rate = learning_rate
        self._means = [torch.zeros_like(each, requires_grad=False) for each in weights]
        self._squares = [torch.zeros_like(each, requires_grad=False) for each in weights]
        self._steps = 0

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Take a step down; a gradient is of its weights' shape."""
        self._steps += 1
        first, second = (1.0 - beta**self._steps for beta in _BETAS)
        moments = zip(self._weights, gradients, self._means, self._squares, strict=True)
        with torch.no_grad():
            for weights, gradient, mean, square in moments:
                mean.lerp_(gradient, 1.0 - _BETAS[0])
                square.lerp_(gradient * gradient, 1.0 - _BETAS[1])
                root = (square / second).sqrt() + _EPSILON
                weights.sub_(self._learning_rate * (mean / first) / root)
