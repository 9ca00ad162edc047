"""Settings, ``setup`` and the folder's modules reach the trials of a Dask cluster."""

import decimal
import logging
import os
import sys
import time
import warnings

import numpy as np
import pytest
from driving import PATIENCE

import nbtune
from nbtune import Real, Sweep, SweepError, TrialError, report
from nbtune.workers import Dask


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A local cluster as users make one: two workers, each a process under a nanny."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        dashboard_address=":0",
        local_directory=tmp_path_factory.mktemp("dask"),
    ) as cluster:
        yield cluster


@pytest.fixture
def run(cluster, tmp_path, monkeypatch):
    """Run a sweep on the cluster to its end, in a folder of its own; return it."""
    monkeypatch.chdir(tmp_path)

    def run(objective, trials=1, slots=1, **options):
        sweep = Sweep(
            objective,
            minimize="loss",
            trials=trials,
            searcher="random",
            workers=Dask(cluster, slots),
            **options,
        )
        sweep.start()
        assert sweep.wait(PATIENCE)
        return sweep

    return run


def test_settings_reach_trials(run):
    def train(x: Real(0, 1)):
        report(
            loss=x,
            divide=np.geterr()["divide"] == "raise",
            precision=np.get_printoptions()["precision"],
            digits=decimal.getcontext().prec,
            level=logging.getLogger("theirs").level,
            quiet=any(each[0] == "ignore" and each[1] for each in warnings.filters),
        )
        np.seterr(all="ignore")  # the next trial must not meet this

    level, printed = logging.getLogger("theirs").level, np.get_printoptions()["precision"]
    try:
        with np.errstate(), decimal.localcontext(), warnings.catch_warnings():
            np.seterr(divide="raise")
            np.set_printoptions(precision=3)
            decimal.getcontext().prec = 50
            logging.getLogger("theirs").setLevel(logging.ERROR)
            warnings.filterwarnings("ignore", message="be quiet")
            found = run(train, trials=2).trials.filter(like="metrics.")
    finally:
        np.set_printoptions(precision=printed)
        logging.getLogger("theirs").setLevel(level)

    expected = {"divide": 1, "precision": 3, "digits": 50, "level": logging.ERROR, "quiet": 1}
    for name, value in expected.items():
        assert list(found[f"metrics.{name}"]) == [value] * 2, name


def test_config_of_torch_and_sklearn_reaches_trials(run):
    import sklearn
    import torch

    def train(x: Real(0, 1)):
        import sklearn
        import torch

        pandas = sklearn.get_config()["transform_output"] == "pandas"
        report(loss=torch.zeros(1).element_size(), pandas=pandas)

    torch.set_default_dtype(torch.float64)
    try:
        with sklearn.config_context(transform_output="pandas"):
            sweep = run(train)
    finally:
        torch.set_default_dtype(torch.float32)

    assert (sweep.best_value, sweep.trials["metrics.pandas"][0]) == (8, 1)


def test_setup_runs_once_in_each_process_before_its_trials(run, tmp_path):
    def setup():
        with (tmp_path / "processes").open("a") as file:
            file.write(f"{os.getpid()}\n")
        sys.prepared = 3

    def train(x: Real(0, 1)):
        while len((tmp_path / "processes").read_text().split()) < 2:
            time.sleep(0.01)
        report(loss=sys.prepared, pid=os.getpid())

    sweep = run(train, trials=6, slots=2, setup=setup)

    pids = [int(pid) for pid in (tmp_path / "processes").read_text().split()]
    assert list(sweep.trials["metrics.loss"]) == [3] * 6
    assert len(pids) == len(set(pids)) == 2
    assert set(sweep.trials["metrics.pid"]) <= set(pids)


def test_setup_runs_again_in_the_process_that_replaces_one(run, tmp_path):
    def setup():
        sys.prepared = 3

    def train(x: Real(0, 1)):
        report(loss=sys.prepared, pid=os.getpid())
        os._exit(1)

    with pytest.raises((SweepError, TrialError)):
        run(train, trials=2, setup=setup, name="dying", store=tmp_path)

    sweep = nbtune.load("dying", tmp_path)
    assert list(sweep.trials["metrics.loss"]) == [3, 3]
    assert sweep.trials["metrics.pid"].nunique() == 2


def test_what_setup_sets_counts_in_every_trial(run):
    def setup():
        np.seterr(divide="raise")

    def train(x: Real(0, 1)):
        report(loss=np.geterr()["divide"] == "raise")
        np.seterr(divide="ignore")

    assert list(run(train, trials=2, setup=setup).trials["metrics.loss"]) == [1, 1]


def test_what_setup_raises_every_trial_raises(run):
    def setup():
        raise ValueError("no such device")

    def train(x: Real(0, 1)):
        report(loss=x)

    with pytest.raises(TrialError, match="no such device"):
        run(train, trials=2, setup=setup)


def test_modules_of_the_notebooks_folder_reach_trials(run, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mynet_far.py").write_text("def size():\n    return 7\n")
    import mynet_far

    def train(x: Real(0, 1)):
        report(loss=mynet_far.size())

    sweep = run(train)
    sys.modules.pop("mynet_far")

    assert sweep.best_value == 7
