"""Checkpoints: what a trial saved is there when it goes on, whatever ended it."""

import pickle

import pytest

from nbtune import Real, Sweep, SweepError
from nbtune.checkpoint import has_checkpoint, load_checkpoint, save_checkpoint
from nbtune.checkpoint_files import saved_checkpoints
from nbtune.context import CurrentTrial, Reporter, report, reporting
from nbtune.trial import Trial
from nbtune.workers import Local


@pytest.fixture
def sent():
    return []


@pytest.fixture
def run(tmp_path, sent):
    """Return a context in which code runs as trial 3, with what it reports in `sent`."""

    def start(**options):
        trial = CurrentTrial(number=3, params={}, dir=tmp_path / "3", seed=0)
        return reporting(Reporter(trial, lambda *words: sent.append(words), **options))

    return start


def test_what_was_saved_last_is_loaded(run):
    with run():
        save_checkpoint({"epoch": 1})
        save_checkpoint({"epoch": 2})

    with run():
        assert load_checkpoint() == {"epoch": 2}


def test_without_a_checkpoint_the_default_is_returned(run):
    with run():
        assert load_checkpoint("nothing") == "nothing"


def test_outside_a_sweep_nothing_is_kept():
    save_checkpoint({"epoch": 1})

    assert load_checkpoint(7) == 7


def test_a_trial_keeps_two(run, tmp_path):
    with run():
        for epoch in range(5):
            save_checkpoint(epoch)

    assert len(list((tmp_path / "3" / "checkpoints").iterdir())) == 2


def test_what_was_saved_before_a_report_that_never_arrived_is_passed_over(run):
    with run():
        for epoch in range(1, 4):
            save_checkpoint(epoch)
            report(epoch=epoch, loss=1.0)

    with run(known_until=2):
        assert load_checkpoint() == 2
    with run(known_until=3):
        assert load_checkpoint() == 3


def test_several_reports_that_never_arrived_leave_no_hole(run):
    with run():
        for epoch in range(1, 4):
            save_checkpoint(epoch)
            report(epoch=epoch, loss=1.0)
        save_checkpoint(4)

    with run(known_until=2):
        assert load_checkpoint("from the start") == "from the start"


def test_the_first_checkpoint_without_its_report_counts_for_nothing(run):
    with run():
        save_checkpoint(1)

    with run():
        assert load_checkpoint("from the start") == "from the start"


def test_a_damaged_checkpoint_gives_way_to_the_one_before(run, tmp_path):
    with run():
        save_checkpoint("good")
        save_checkpoint("torn")
    newest = max((tmp_path / "3" / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:4])

    with run():
        assert load_checkpoint() == "good"


def test_a_draft_that_was_cut_off_does_not_count(run, tmp_path):
    home = tmp_path / "3" / "checkpoints"
    home.mkdir(parents=True)
    (home / "000001-1.draft").write_bytes(pickle.dumps("half"))

    assert not has_checkpoint(tmp_path / "3")
    with run():
        assert load_checkpoint("none") == "none"


def test_a_folder_is_copied(run, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights").write_text("1 2 3")
    with run():
        save_checkpoint(model)
        report(loss=1.0)
    (model / "weights").write_text("changed")

    with run(known_until=1):
        assert (load_checkpoint() / "weights").read_text() == "1 2 3"


def test_a_class_that_only_the_notebook_knows_is_kept(run):
    namespace = {"__name__": "__main__"}
    exec("class Model:\n    weight = 0", namespace)
    model = namespace["Model"]()
    model.weight = 5

    with run():
        save_checkpoint(model)
        report(loss=1.0)
    with run(known_until=1):
        assert load_checkpoint().weight == 5


def test_steps_that_an_earlier_run_reported_are_not_told_twice(run, sent):
    with run(known_until=3):
        for epoch in range(1, 6):
            report(epoch=epoch, loss=1.0)

    assert [step for step, _ in sent] == [4, 5]


def test_steps_that_report_counts_itself_go_on_from_the_checkpoint(run, sent):
    with run():
        report(loss=1.0)
        report(loss=0.9)
        save_checkpoint("two done")
        report(loss=0.8)

    with run(known_until=3):
        load_checkpoint()
        report(loss=0.8)
        report(loss=0.7)

    assert [step for step, _ in sent] == [1, 2, 3, 4]


# --- of a trial that has run


def trial_in(tmp_path):
    return Trial(number=3, params={}, folder=tmp_path)


def test_a_trial_gives_back_what_it_saved_last(run, tmp_path):
    with run():
        save_checkpoint({"weights": 1})
        save_checkpoint({"weights": 2})

    assert trial_in(tmp_path).checkpoint() == {"weights": 2}


def test_a_trial_lists_its_checkpoints_with_the_steps_before_them(run, tmp_path):
    with run():
        for epoch in range(1, 4):
            save_checkpoint(epoch)
            report(epoch=epoch, loss=1.0)

    listed = trial_in(tmp_path).checkpoints

    assert [(each.after_step, each.load()) for each in listed] == [(1, 2), (2, 3)]


def test_a_trial_gives_back_a_folder_as_its_path(run, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("w")
    with run():
        save_checkpoint(tmp_path / "model")

    assert (trial_in(tmp_path).checkpoint() / "weights").read_text() == "w"


def test_a_trial_passes_over_a_damaged_checkpoint(run, tmp_path):
    with run():
        save_checkpoint(1)
        save_checkpoint(2)
    trial = trial_in(tmp_path)
    trial.checkpoints[-1].path.write_bytes(b"")

    assert trial.checkpoint() == 1


def test_a_trial_without_a_readable_checkpoint_names_its_files(run, tmp_path):
    with run():
        save_checkpoint(1)
    trial = trial_in(tmp_path)
    trial.checkpoints[-1].path.write_bytes(b"")

    with pytest.raises(SweepError, match=r"none of its checkpoints can be read: .*000001-0"):
        trial.checkpoint()


def test_a_trial_without_a_checkpoint_says_how_to_save_one(tmp_path):
    with pytest.raises(SweepError, match=r"trial 3 has no checkpoint. Call save_checkpoint"):
        trial_in(tmp_path).checkpoint()


def test_the_best_trial_of_a_sweep_gives_back_its_model(tmp_path):
    def train(x: Real(0, 1) = 0.5):
        save_checkpoint({"x": x})
        report(epoch=1, loss=x)

    done = Sweep(train, minimize="loss", trials=2, workers=Local(1), store=tmp_path).run()

    assert done.best.checkpoint() == done.best.params


def test_a_file_of_the_users_beside_the_checkpoints_stays(tmp_path):
    home = tmp_path / "checkpoints"
    home.mkdir()
    for name in ("notes", "model.pickle", "000001-x.pickle"):
        (home / name).write_text("mine")

    assert saved_checkpoints(tmp_path) == []
