"""What of a sweep may change when it goes on, and what it keeps."""

import pytest
from driving import PATIENCE

import nbtune
from nbtune import Real, SpecError, Sweep, report
from nbtune.schedulers import Hyperband
from nbtune.searchers import Grid, Random
from nbtune.stopping import MetricThreshold
from nbtune.workers import Inline, Local


def train(x: Real(0, 1)):
    for epoch in (1, 2, 3):
        report(epoch=epoch, loss=x)


def ended(tmp_path, **options):
    given = {"searcher": "random", "workers": Inline(1), "trials": 2, "seed": 5, **options}
    return Sweep(train, minimize="loss", name="ended", store=tmp_path, **given).run()


def resumed(tmp_path, **changes):
    sweep = nbtune.load("ended", tmp_path).resume(**changes)
    assert sweep.wait(PATIENCE)
    return sweep


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trial_time_limit", 9.0),
        ("compute_time_limit", 900.0),
        ("at_time_limit", "drain"),
        ("max_total_steps", 400),
        ("retries", 3),
        ("retry_exceptions", True),
    ],
)
def test_a_limit_that_is_given_to_resume_holds_from_then_on(tmp_path, name, value):
    ended(tmp_path)

    resumed(tmp_path, trials=3, **{name: value})

    assert getattr(nbtune.load("ended", tmp_path)._definition.budget, name) == value


def test_a_limit_of_steps_given_to_resume_ends_the_sweep(tmp_path):
    ended(tmp_path)

    sweep = resumed(tmp_path, trials=50, max_total_steps=12)

    assert len(sweep.reports) == 12


def test_a_stop_rule_given_to_resume_ends_the_sweep(tmp_path):
    ended(tmp_path)

    sweep = resumed(tmp_path, trials=50, stop_when=MetricThreshold("loss", 1.0))

    assert len(sweep.trials) == 3


def test_other_workers_run_the_rest(tmp_path):
    ended(tmp_path)

    sweep = resumed(tmp_path, trials=5, workers=Inline(2))

    assert sweep.snapshot().plan.endswith("2 slots")


def test_the_number_of_workers_changes_and_their_cores_stay(tmp_path):
    ended(tmp_path, workers=Local(1, cpus=2), trials=1)

    resumed(tmp_path, trials=2, workers=2, memory="2GB")

    workers = nbtune.load("ended", tmp_path)._definition.workers
    assert (workers.slots, workers.cpus, workers.memory) == (2, 2, 2_000_000_000)


def test_another_searcher_goes_on_with_what_was_found(tmp_path):
    ended(tmp_path)

    sweep = resumed(tmp_path, trials=3, searcher="bayes")

    assert sweep.snapshot().plan.startswith("Bayes")
    assert len(sweep.trials) == 3


@pytest.mark.parametrize("searcher", ["grid", Grid()])
def test_a_searcher_that_walks_a_list_is_refused_by_name(tmp_path, searcher):
    ended(tmp_path)

    with pytest.raises(SpecError, match=r"^searcher=.* sweep 'ended' goes on.*warm_start="):
        resumed(tmp_path, searcher=searcher)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scheduler", "hyperband"),
        ("scheduler", Hyperband(max_t=9)),
        ("seed", 6),
        ("step", "round"),
        ("deterministic", True),
        ("trial_max_steps", 2),
        ("warm_start", "other"),
    ],
)
def test_what_a_sweep_keeps_is_refused_by_name(tmp_path, name, value):
    ended(tmp_path)

    with pytest.raises(SpecError, match=f"^{name}=.* sweep 'ended' goes on, and it keeps the "):
        resumed(tmp_path, **{name: value})


def test_what_is_given_as_it_was_is_no_change(tmp_path):
    ended(tmp_path, scheduler=Hyperband(max_t=9))

    sweep = resumed(
        tmp_path,
        trials=3,
        searcher=Random(),
        scheduler=Hyperband(max_t=9),
        seed=5,
        step="epoch",
    )

    assert len(sweep.trials) == 3


def test_an_unknown_argument_of_resume_is_refused_by_name(tmp_path):
    ended(tmp_path)

    with pytest.raises(SpecError, match=r"trails= is nothing that resume\(\) takes.*trials"):
        resumed(tmp_path, trails=3)


def test_a_wrong_value_is_refused_before_anything_changes(tmp_path):
    ended(tmp_path)
    before = nbtune.load("ended", tmp_path)._row

    with pytest.raises(SpecError, match="retries=-1: give a whole number from 0"):
        resumed(tmp_path, trials=9, retries=-1)

    after = nbtune.load("ended", tmp_path)
    assert after._row == before
    assert not after._store.owned("ended")
