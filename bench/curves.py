"""Train many configurations for real and keep their learning curves, for `schedulers` and `peers`.

    python bench/curves.py FOLDER [--only mlp] [--configs 240]

Writes ``synthetic_mlp_curves.npz`` and ``synthetic_boosting_curves.npz``, each with ``score``
(validation accuracy) and ``seconds`` (of CPU), shape (configurations, 27), and ``space`` and
``configs`` as JSON. Data come from scikit-learn's generators, so that nothing is downloaded.
"""

import argparse
import json
import os
import time
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from schedulers import draw
from sklearn.datasets import make_classification
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

STEPS = 27
TREES = 4  # in a step of boosting

SPACES = {
    "mlp": {
        "width": ["logint", 8, 128],
        "lr": ["logfloat", 1e-4, 1e-1],
        "alpha": ["logfloat", 1e-6, 1e-1],
        "batch": ["logint", 16, 256],
        "activation": ["cat", ["relu", "tanh", "logistic"]],
        "solver": ["cat", ["adam", "sgd"]],
    },
    "boosting": {
        "lr": ["logfloat", 3e-3, 1.0],
        "depth": ["int", 1, 6],
        "subsample": ["float", 0.3, 1.0],
        "features": ["float", 0.1, 1.0],
        "leaf": ["logint", 1, 50],
    },
}


def split(kind):
    samples, features, classes, seed = (2400, 30, 4, 11) if kind == "mlp" else (1600, 20, 3, 12)
    x, y = make_classification(
        samples,
        features,
        n_informative=features // 3,
        n_redundant=features // 6,
        n_classes=classes,
        n_clusters_per_class=3,
        flip_y=0.03,
        class_sep=1.2,
        random_state=seed,
    )
    return train_test_split(x, y, test_size=0.4, random_state=seed)


def mlp(config, x, y):
    """Yield the model after each epoch."""
    model = MLPClassifier(
        (config["width"],),
        activation=config["activation"],
        solver=config["solver"],
        learning_rate_init=config["lr"],
        alpha=config["alpha"],
        batch_size=config["batch"],
        random_state=0,
    )
    for _ in range(STEPS):
        yield model.partial_fit(x, y, classes=np.unique(y))


def boosting(config, x, y):
    """Yield the model after each `TREES` boosting rounds."""
    model = GradientBoostingClassifier(
        n_estimators=TREES,
        warm_start=True,
        learning_rate=config["lr"],
        max_depth=config["depth"],
        subsample=config["subsample"],
        max_features=config["features"],
        min_samples_leaf=config["leaf"],
        random_state=0,
    )
    for step in range(1, STEPS + 1):
        yield model.set_params(n_estimators=TREES * step).fit(x, y)


def curve(kind, config):
    """Return scores and CPU seconds of one training, shape (STEPS,) each."""
    x, x_valid, y, y_valid = split(kind)
    scores, seconds = [], []
    start = time.process_time()
    for model in {"mlp": mlp, "boosting": boosting}[kind](config, x, y):
        scores.append(model.score(x_valid, y_valid))
        seconds.append(time.process_time() - start)
        start = time.process_time()
    return scores, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=list(SPACES))
    parser.add_argument("--configs", type=int, default=240)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    for kind in [options.only] if options.only else list(SPACES):
        rng = np.random.default_rng(7)
        space = SPACES[kind]
        configs = [
            {name: draw(domain, rng) for name, domain in space.items()}
            for _ in range(options.configs)
        ]
        curves = [curve(kind, config) for config in configs]
        np.savez_compressed(
            options.folder / f"synthetic_{kind}_curves.npz",
            score=np.array([scores for scores, _ in curves], np.float32),
            seconds=np.array([seconds for _, seconds in curves], np.float32),
            space=json.dumps(space),
            configs=json.dumps(configs),
        )


if __name__ == "__main__":
    main()
