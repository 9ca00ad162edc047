"""Problems of choices alone, to compare models of them.

They are NK landscapes (Kauffman and Weinberger 1989): each choice adds a random share that depends
on itself and `k` others; their mean's least value, 0, is hidden at one point.
"""

import functools

import numpy as np

__all__ = ["PROBLEMS"]


def landscape(count, options, k, seed):
    """Return a space of `count` choices of `options`, its function and its least value."""
    rng = np.random.default_rng(seed)
    others = [rng.choice(np.delete(np.arange(count), i), k, replace=False) for i in range(count)]
    shares = [rng.random((options,) * (k + 1)) for _ in range(count)]
    hidden = rng.integers(options, size=count)
    for i in range(count):
        shares[i][(hidden[i], *hidden[others[i]])] = 0.0
    names = [f"option{i}" for i in range(options)]
    space = {f"c{i}": ("cat", names) for i in range(count)}
    return space, functools.partial(mean_share, names, others, shares), 0.0


def mean_share(names, others, shares, config):
    chosen = np.array([names.index(config[f"c{i}"]) for i in range(len(shares))])
    found = [shares[i][(chosen[i], *chosen[others[i]])] for i in range(len(shares))]
    return float(np.mean(found))


PROBLEMS = {
    "choices8": landscape(8, 6, 1, seed=1),
    "choices12": landscape(12, 8, 1, seed=2),
    "choices10": landscape(10, 10, 2, seed=3),
}
