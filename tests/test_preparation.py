"""What a notebook has set, its folder's modules and ``setup`` reach every worker process."""

import decimal
import importlib.resources
import logging
import os
import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import nbtune
from nbtune import Real, SpecError, Sweep, SweepError, TrialError, report
from nbtune.objective.preparation import packed
from nbtune.workers import Inline, Local

KINDS = pytest.mark.parametrize("kind", [Local, Inline])


@pytest.fixture(autouse=True)
def _settings_of_their_own(tmp_path, monkeypatch):
    """Put back what a test sets, and let it run in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    root, printed = logging.root, np.get_printoptions()
    level, handlers = root.level, list(root.handlers)
    with np.errstate(), decimal.localcontext(), warnings.catch_warnings():
        yield
    np.set_printoptions(**printed)
    root.setLevel(level)
    root.handlers[:] = handlers


def run(objective, workers=Local, trials=1, **options):
    """Run a sweep to its end; return it."""
    return Sweep(
        objective, minimize="loss", trials=trials, searcher="random", workers=workers(1), **options
    ).run()


def log_of(sweep, number=0):
    return (sweep.trial(number).dir / "log.txt").read_text()


# --- what is set


@KINDS
def test_numpys_treatment_of_errors_reaches_trials(kind):
    def train(x: Real(0, 1)):
        report(loss=np.geterr()["divide"] == "raise")

    np.seterr(divide="raise")

    assert run(train, kind).best_value == 1


def test_each_trial_finds_the_settings_whatever_the_last_one_did():
    def train(x: Real(0, 1)):
        report(loss=np.geterr()["divide"] == "raise")
        np.seterr(all="ignore")

    np.seterr(divide="raise")

    assert list(run(train, trials=3).trials["metrics.loss"]) == [1, 1, 1]


@KINDS
def test_decimals_precision_reaches_trials(kind):
    def train(x: Real(0, 1)):
        report(loss=decimal.getcontext().prec)

    decimal.getcontext().prec = 50

    assert run(train, kind).best_value == 50


def test_numpys_printing_reaches_trials():
    def train(x: Real(0, 1)):
        print(np.array([1 / 3]))
        report(loss=x)

    np.set_printoptions(precision=3)

    assert log_of(run(train)) == "[0.333]\n"


@KINDS
def test_config_of_sklearn_reaches_trials(kind):
    import sklearn

    def train(x: Real(0, 1)):
        import sklearn

        report(loss=sklearn.get_config()["transform_output"] == "pandas")

    with sklearn.config_context(transform_output="pandas"):
        assert run(train, kind).best_value == 1


def test_default_dtype_of_torch_reaches_trials():
    import torch

    def train(x: Real(0, 1)):
        import torch

        report(loss=torch.zeros(1).element_size())

    torch.set_default_dtype(torch.float64)
    try:
        assert run(train).best_value == 8
    finally:
        torch.set_default_dtype(torch.float32)


def test_filters_of_warnings_reach_trials():
    def train(x: Real(0, 1)):
        warnings.warn("be quiet", UserWarning, stacklevel=1)
        warnings.warn("be loud", RuntimeWarning, stacklevel=1)
        report(loss=x)

    warnings.simplefilter("always")
    warnings.filterwarnings("ignore", message="be quiet")

    log = log_of(run(train))
    assert "be loud" in log
    assert "be quiet" not in log


def test_filter_for_a_librarys_warnings_counts_once_a_trial_imports_it():
    def train(x: Real(0, 1)):
        from sklearn.exceptions import ConvergenceWarning, FitFailedWarning

        warnings.warn("be quiet", ConvergenceWarning, stacklevel=1)
        warnings.warn("be loud", FitFailedWarning, stacklevel=1)
        report(loss=x)

    warnings.simplefilter("always")
    warnings.simplefilter("ignore", ConvergenceWarning)

    log = log_of(run(train))
    assert "be loud" in log
    assert "be quiet" not in log


def test_filter_for_a_librarys_warnings_does_not_import_it():
    def train(x: Real(0, 1)):
        report(loss=bool({"numpy", "sklearn"} & set(sys.modules)))

    warnings.simplefilter("ignore", np.exceptions.RankWarning)
    warnings.simplefilter("ignore", ConvergenceWarning)

    assert run(train).best_value == 0


def test_basic_config_of_logging_reaches_trials():
    def train(x: Real(0, 1)):
        logging.getLogger("mine").debug("said")
        logging.getLogger("theirs").info("not said")
        report(loss=x)

    logging.root.handlers[:] = []
    logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s")
    logging.getLogger("theirs").setLevel(logging.ERROR)

    log = log_of(run(train))
    assert "mine: said\n" in log
    assert "not said" not in log


# --- setup


@KINDS
def test_setup_runs_once_in_each_process_before_its_trials(kind, tmp_path):
    def setup():
        with (tmp_path / "processes").open("a") as file:
            file.write(f"{os.getpid()}\n")
        sys.prepared = 3

    def train(x: Real(0, 1)):
        report(loss=sys.prepared)

    sweep = run(train, kind, trials=4, setup=setup)
    vars(sys).pop("prepared", None)

    assert list(sweep.trials["metrics.loss"]) == [3] * 4
    assert len((tmp_path / "processes").read_text().splitlines()) == 1


def test_setup_runs_again_in_the_process_that_replaces_one(tmp_path):
    def setup():
        sys.prepared = 3

    def train(x: Real(0, 1)):
        report(loss=sys.prepared)
        os._exit(1)

    sweep = Sweep(
        train, minimize="loss", trials=2, searcher="random", workers=1, setup=setup, seed=1
    )
    sweep.start()
    with pytest.raises((SweepError, TrialError)):
        sweep.wait()

    assert list(sweep.trials["metrics.loss"]) == [3, 3]


def test_what_setup_sets_counts_in_every_trial():
    def setup():
        np.seterr(divide="raise")

    def train(x: Real(0, 1)):
        report(loss=np.geterr()["divide"] == "raise")
        np.seterr(divide="ignore")

    assert list(run(train, trials=2, setup=setup).trials["metrics.loss"]) == [1, 1]


@KINDS
def test_what_setup_raises_every_trial_raises(kind):
    def setup():
        raise ValueError("no such device")

    def train(x: Real(0, 1)):
        report(loss=x)

    with pytest.raises(TrialError, match="no such device"):
        run(train, kind, trials=2, setup=setup)


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        (3, "setup=3: give a function that is called without arguments"),
        (lambda x: x, "setup=.*missing a required argument: 'x'; give a function"),
        ((n for n in []).__next__, "setup=.*cannot be stored"),
    ],
)
def test_setup_that_cannot_be_called_or_sent_is_refused(setup, message):
    def train(x: Real(0, 1)):
        report(loss=x)

    with pytest.raises(SpecError, match=message):
        run(train, setup=setup)


# --- modules


@pytest.fixture
def net(tmp_path, monkeypatch):
    """A package of the working folder, imported by the notebook; removed afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mynet").mkdir()
    (tmp_path / "mynet" / "__init__.py").write_text("from mynet.size import size")
    file = tmp_path / "mynet" / "size.py"
    file.write_text("def size():\n    return 1\n")
    yield file
    for name in ("mynet", "mynet.size"):
        sys.modules.pop(name, None)


def test_module_that_is_edited_while_trials_run_stays_what_it_was(net):
    import mynet

    def train(x: Real(0, 1)):
        report(loss=mynet.size())
        net.write_text("def size():\n    return 2\n")
        os._exit(1)

    sweep = Sweep(train, minimize="loss", trials=2, searcher="random", workers=1)
    with pytest.raises((SweepError, TrialError)):
        sweep.run()

    assert list(sweep.trials["metrics.loss"]) == [1, 1]


def test_data_files_of_a_package_are_within_reach(net):
    (net.parent / "classes.txt").write_text("seven")
    import mynet

    def train(x: Real(0, 1)):
        text = importlib.resources.files(mynet).joinpath("classes.txt").read_text()
        report(loss=len(text))

    assert run(train).best_value == 5


def test_nbtune_itself_does_not_travel_from_a_folder_that_holds_its_source(monkeypatch):
    monkeypatch.chdir(Path(nbtune.__file__).parents[1])

    modules, _, _ = pickle.loads(packed())

    assert not [module.name for module in modules if module.name.startswith("nbtune")]


def test_traceback_through_a_module_shows_the_line_that_ran(net):
    net.write_text("def size():\n    return 1 / 0  # then\n")
    import mynet

    def train(x: Real(0, 1)):
        net.write_text("def size():\n    return 2  # now\n")
        report(loss=mynet.size())

    with pytest.raises(TrialError) as caught:
        run(train)

    assert (
        f'File "{net}", line 2, in size\n    return 1 / 0  # then' in caught.value.worker_traceback
    )
