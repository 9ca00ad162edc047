"""Problems on which nothing of nbtune was chosen: they only check what others led to.

Each is minimised. A row is a space, a function, and the least value; a space is as in
``quality.py``. Three go beyond a function of the params: ``noisy4`` is told with noise, and judged
without; where ``memory4`` is NaN the trial has failed; of ``models7`` only the params of the model
that is chosen matter, which nbtune knows by branches.
"""

import functools
import math

import numpy as np

__all__ = ["BRANCHES", "NOISE", "PROBLEMS"]


def box(count, low, high):
    return {f"x{i}": ("float", low, high) for i in range(count)}


def values(config, count):
    return np.array([config[f"x{i}"] for i in range(count)])


_SHEKEL = np.array(
    [
        [4, 1, 8, 6, 3, 2, 5, 8, 6, 7],
        [4, 1, 8, 6, 7, 9, 3, 1, 2, 3.6],
        [4, 1, 8, 6, 3, 2, 5, 8, 6, 7],
        [4, 1, 8, 6, 7, 9, 3, 1, 2, 3.6],
    ]
)
_WIDTHS = 0.1 * np.array([1, 2, 2, 4, 4, 6, 3, 7, 5, 5])


def shekel(config):
    """Ten needles, one of them deepest."""
    x = values(config, 4)
    return -float((1 / (((x[:, None] - _SHEKEL) ** 2).sum(axis=0) + _WIDTHS)).sum())


_HEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
_A3 = np.array([[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]])
_P3 = 1e-4 * np.array(
    [[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]
)


def hartmann(config):
    return -float(_HEIGHTS @ np.exp(-(_A3 * (values(config, 3) - _P3) ** 2).sum(axis=1)))


def zakharov(config):
    """Very steep from far away, a long valley near by."""
    x = values(config, 5)
    along = (0.5 * np.arange(1, 6) * x).sum()
    return float((x * x).sum() + along**2 + along**4)


def schwefel(config):
    """Rugged, and the best valley lies in a corner, far from the second best."""
    x = values(config, 3)
    return float(3 * 418.98288727243369 - (x * np.sin(np.sqrt(np.abs(x)))).sum())


@functools.cache
def _waves(seed, lengths):
    """Return frequencies and phases of a draw of a Gaussian process with a Matern 5/2 kernel.

    Rahimi and Recht 2007: 500 random features; the frequencies of this kernel are Student's t with
    five degrees of freedom.
    """
    rng = np.random.default_rng(seed)
    stretch = np.sqrt(5 / rng.chisquare(5, (500, 1)))
    frequencies = rng.standard_normal((500, len(lengths))) * stretch / np.array(lengths)
    return frequencies, rng.uniform(0, 2 * math.pi, 500), rng.standard_normal(500)


def drawn(config, seed, lengths):
    frequencies, phases, weights = _waves(seed, lengths)
    x = values(config, len(lengths))
    return float(math.sqrt(2 / 500) * weights @ np.cos(frequencies @ x + phases))


_FOREST = {
    "x0": ("float", 0.0, 1.0),
    "x1": ("float", 0.0, 1.0),
    "lr": ("logfloat", 1e-4, 1.0),
    "n": ("int", 1, 24),
    "a": ("cat", ["p", "q", "r"]),
    "b": ("cat", ["s", "t", "u", "v"]),
}


@functools.cache
def _forest():
    """Return the value of each cell of a grid, shape (12, 12, 12, 12, 3, 4): a sum of trees.

    Each tree splits cells at random until nine levels down; a deeper split changes the value less.
    """
    shape = (12, 12, 12, 12, 3, 4)
    rng = np.random.default_rng(29)
    total = np.zeros(shape)

    def split(low, high, level, value):
        if level == 9:
            total[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] += value
            return
        dim = int(rng.integers(6))
        if high[dim] - low[dim] < 2:
            split(low, high, level + 1, value)
            return
        cut = int(rng.integers(low[dim] + 1, high[dim]))
        for part in (0, 1):
            start, end = list(low), list(high)
            (end if part == 0 else start)[dim] = cut
            split(start, end, level + 1, value + rng.standard_normal() * 0.8**level)

    for _ in range(12):
        split([0] * 6, list(shape), 0, 0.0)
    return total


def forest(config):
    """A piecewise constant table, as a random forest would predict one."""
    rate = (math.log10(config["lr"]) + 4) / 4
    cell = [min(int(u * 12), 11) for u in (config["x0"], config["x1"], rate)]
    cell += [(config["n"] - 1) // 2, "pqr".index(config["a"]), "stuv".index(config["b"])]
    return float(_forest()[tuple(cell)])


def interaction(config):
    """What is best for the numbers depends on both choices; most pairs look alike from afar."""
    i, j = "abcd".index(config["solver"]), "xyz".index(config["norm"])
    rate, decay = math.log10(config["lr"]) + 5, math.log10(config["wd"]) + 6
    floor = (0.30, 0.12, 0.22, 0.18)[i] + (0.05, 0.0, 0.10)[j] - (0.29 if (i, j) == (2, 2) else 0.0)
    wide = 0.15 * (rate - (1.2, 3.1, 3.9, 2.2)[i]) ** 2 + 0.04 * (decay - 1.5 - 1.1 * j) ** 2
    cross = 0.2 * (config["momentum"] - 0.9 + 0.15 * i) ** 2 + 0.05 * abs(config["depth"] - 3 - j)
    return float(floor - 0.03 + wide + cross)


def log_integers(config):
    """Sizes that matter by their products, as memory and throughput do."""
    a, b, c, d = (math.log2(config[name]) for name in ("rows", "columns", "batch", "steps"))
    return float(
        0.5 * (a + b - 13) ** 2 + (b - 5 + 0.3 * (c - 6)) ** 2 + 0.1 * (c - 6) ** 2
        + abs(c + d - 14) + 0.02 * (d - 8) ** 2
    )  # fmt: skip


def powell(config):
    x = values(config, 4)
    terms = (x[0] + 10 * x[1], 5**0.5 * (x[2] - x[3]), (x[1] - 2 * x[2]) ** 2)
    return math.log1p(sum(t * t for t in terms) + 10 * (x[0] - x[3]) ** 4)


def memory(config):
    """The more the better, until memory is full or the rate too high: best is next to failure."""
    width, depth = math.log2(config["width"]), config["depth"]
    batch, rate = math.log2(config["batch"]), math.log10(config["lr"])
    if 2 * width + math.log2(depth) + batch > 26 or rate > -1.5 - 0.08 * depth:
        return math.nan
    loss = 0.03 * (12 - width) ** 1.5 + 0.02 * abs(depth - 7) ** 1.2
    return loss + 0.15 * (rate + 1.9) ** 2 + 0.004 * (batch - 6) ** 2


def models(config):
    """Three models, each with params of its own."""
    if config["model"] == "svm":
        c, gamma = math.log10(config["C"]), math.log10(config["gamma"])
        return 0.08 + 0.02 * (c - 1 + 0.6 * (gamma + 2)) ** 2 + 0.03 * (gamma + 2.5) ** 2
    if config["model"] == "forest":
        trees, leaf = math.log2(config["trees"]), config["leaf"]
        return 0.05 + 0.004 * (10 - trees) + 0.003 * (leaf - 3) ** 2
    rate, size = math.log10(config["lr"]), math.log2(config["size"])
    return 0.06 * abs(rate + 2.6 + 0.1 * (size - 7)) ** 1.5 + 0.01 * (size - 7) ** 2


NOISE = {"noisy4": 0.3}
"""The standard deviation of what is told of a problem."""

BRANCHES = {
    "models7": (
        "model",
        {"svm": ["C", "gamma"], "forest": ["trees", "leaf"], "net": ["lr", "size"]},
    )
}
"""The param that chooses, and the params that matter for each of its options."""

PROBLEMS = {
    "shekel4": (box(4, 0.0, 10.0), shekel, -10.536443153483523),
    "hartmann3": (box(3, 0.0, 1.0), hartmann, -3.8627797873327),
    "zakharov5": (box(5, -5.0, 10.0), zakharov, 0.0),
    "schwefel3": (box(3, -500.0, 500.0), schwefel, 0.0),
    "gp4": (
        box(4, 0.0, 1.0),
        functools.partial(drawn, seed=41, lengths=(0.3, 0.3, 0.3, 0.3)),
        -3.1229858019422183,
    ),
    "gp6ard": (
        box(6, 0.0, 1.0),
        functools.partial(drawn, seed=43, lengths=(0.2, 0.5, 0.5, 1.0, 3.0, 9.0)),
        -2.253588768838188,
    ),
    "forest6": (_FOREST, forest, -20.293438138278432),
    "interaction6": (
        {
            "lr": ("logfloat", 1e-5, 1.0),
            "wd": ("logfloat", 1e-6, 1e-1),
            "momentum": ("float", 0.0, 1.0),
            "depth": ("int", 1, 10),
            "solver": ("cat", list("abcd")),
            "norm": ("cat", list("xyz")),
        },
        interaction,
        0.0,
    ),
    "logints4": (
        dict.fromkeys(("rows", "columns", "batch", "steps"), ("logint", 1, 4096)),
        log_integers,
        0.0,
    ),
    "noisy4": (box(4, -4.0, 5.0), powell, 0.0),
    "memory4": (
        {
            "width": ("logint", 8, 4096),
            "depth": ("int", 1, 12),
            "batch": ("logint", 4, 512),
            "lr": ("logfloat", 1e-5, 1.0),
        },
        memory,
        0.11670821315312,
    ),
    "models7": (
        {
            "model": ("cat", ["svm", "forest", "net"]),
            "C": ("logfloat", 1e-3, 1e4),
            "gamma": ("logfloat", 1e-6, 1e1),
            "trees": ("logint", 8, 1024),
            "leaf": ("int", 1, 30),
            "lr": ("logfloat", 1e-5, 1.0),
            "size": ("logint", 8, 1024),
        },
        models,
        0.0,
    ),
}
