import dataclasses
import math

import numpy as np
import pytest
from pictured import curve, made, mixed, snapshot

from nbtune.plots import Plots, overview, parallel, theme
from nbtune.plots.curves import CurveView, traces
from nbtune.plots.lines import CurveBook, joined
from nbtune.plots.ticks import linear_ticks, log_ticks, rounded_out, whole_ticks
from nbtune.plots.words import aligned, duration, number, shortened
from nbtune.space import Choice, Int, Normal, Range, Real, Space
from nbtune.trial import Goal, Report, Status

LOSS = Goal(metric="accuracy", direction="minimize")


def scene_of(of, **options):
    book = CurveBook(of.goal.metric)
    book.read(of.trials)
    return CurveView(book, **options).scene(of)


def parallel_of(of, **options):
    book = CurveBook(of.goal.metric)
    book.read(of.trials)
    return parallel.scene(of, book, CurveView(book).scene(of), **options)


def axis_of(scene, path):
    return next(axis for axis in scene.axes if axis.path == path)


# --- curves


def test_finished_curves_are_one_trace_with_a_nan_between_two():
    scene = scene_of(snapshot(made(0, [0.1, 0.2]), made(1, [0.3, 0.4])))

    np.testing.assert_allclose(scene.finished.y, [0.1, 0.2, np.nan, 0.3, 0.4], rtol=1e-6)
    assert scene.finished.y.dtype == np.float32


def test_every_point_knows_its_trial():
    scene = scene_of(snapshot(made(0, [0.1, 0.2]), made(1, [0.3, 0.4])))

    assert list(scene.finished.trial) == [0, 0, 0, 1, 1]


def test_running_trials_lead_with_a_dot_at_their_tip():
    scene = scene_of(snapshot(made(0, curve(0, 9)), made(1, curve(1, 5), Status.RUNNING)))

    assert list(scene.tips.x) == [5]


def test_a_running_trial_out_of_sight_has_its_dot_on_the_edge():
    trials = [made(n, curve(n, 27)) for n in range(9)]

    scene = scene_of(snapshot(*trials, made(9, [-7.0, -7.0], Status.RUNNING)))

    low, high = scene.y_range
    assert scene.tips.y[0] > low
    assert scene.tips.y[0] == pytest.approx(low, abs=0.001 * (high - low))


def test_the_best_is_labelled_with_its_value():
    scene = scene_of(snapshot(made(0, [0.1, 0.96773]), made(1, [0.3, 0.4])))

    assert scene.label_text == "0.9677"
    assert list(scene.label.x) == [2]


def test_a_trial_with_one_report_is_a_point():
    scene = scene_of(snapshot(made(0, [0.5], Status.STOPPED), made(1, [0.3, 0.4])))

    assert list(scene.points.y) == [0.5]


def test_the_range_leaves_out_the_garbage_of_the_first_epoch():
    trials = [made(n, [-1e6, 0.8, 0.9, *([0.95] * 20)]) for n in range(10)]

    low, high = scene_of(snapshot(*trials)).y_range

    assert low > 0
    assert high < 2


def test_the_range_of_a_loss_keeps_its_low_end():
    trials = [made(n, [100.0 / (s + n + 1) for s in range(27)]) for n in range(10)]

    scene = scene_of(snapshot(*trials, goals=(LOSS,)))

    assert scene.y_range[0] <= 100.0 / 36


def test_a_loss_that_falls_by_orders_of_magnitude_is_drawn_on_a_log_axis():
    trials = [made(n, [10.0**-s for s in range(9)]) for n in range(5)]

    scene = scene_of(snapshot(*trials, goals=(LOSS,)))

    assert scene.y_log
    assert scene.y_range[0] <= -8


def test_values_that_are_not_finite_are_gaps():
    scene = scene_of(snapshot(made(0, [0.1, math.nan, math.inf, 0.4])))

    np.testing.assert_allclose(scene.finished.y, [0.1, np.nan, np.nan, 0.4], rtol=1e-6)


def test_nothing_but_nan_draws_without_a_warning():
    figure = overview.figure(snapshot(made(0, [math.nan, math.nan])))

    assert figure.data


def test_constant_values_have_a_range_around_them():
    low, high = scene_of(snapshot(made(0, [0.5] * 4))).y_range

    assert low < 0.5 < high


def test_steps_tick_at_whole_numbers_and_at_both_ends():
    scene = scene_of(snapshot(made(0, curve(0, 27))))

    assert scene.x_ticks[0] == 1
    assert scene.x_ticks[-1] == 27


def test_the_next_rung_is_in_view_but_not_one_far_ahead():
    scene = scene_of(snapshot(made(0, curve(0, 4), Status.RUNNING), rungs=(1, 3, 9, 27, 81)))

    assert scene.rungs == (1, 3, 9)


def test_before_the_first_report_a_line_says_what_will_appear():
    assert scene_of(snapshot()).message == "Curves appear with the first report of accuracy"


def test_a_metric_that_nobody_reports_is_named_with_what_is_reported_instead():
    scene = scene_of(snapshot(made(0, [0.1], Status.RUNNING, metric="acc")))

    assert scene.message == "No trial has reported accuracy yet; reported so far: acc"


def test_trials_with_a_result_only_are_drawn_by_number_with_the_best_so_far():
    scene = scene_of(snapshot(*(made(n, [v]) for n, v in enumerate([0.2, 0.5, 0.3]))))

    assert scene.by_trial
    np.testing.assert_allclose(scene.best.y, [0.2, 0.5, 0.5], rtol=1e-6)


def test_a_thousand_long_curves_are_thinned_to_what_a_browser_draws():
    trials = [made(n, [0.5] * 100) for n in range(1000)]

    assert scene_of(snapshot(*trials)).finished.x.size <= 31_000


def test_a_thinned_curve_keeps_both_ends():
    book = CurveBook("accuracy")
    book.read((made(0, [float(v) for v in range(100)]),))

    lines = joined([0], book.curves, 7)

    assert (lines.y[0], lines.y[-1], lines.y.size) == (0, 99, 7)


def test_of_many_thousand_trials_the_best_and_the_latest_are_drawn():
    trials = [made(n, [n / 3000, n / 3000]) for n in range(3000, 0, -1)]
    trials = [dataclasses.replace(trial, number=n) for n, trial in enumerate(trials)]

    shown = set(scene_of(snapshot(*trials)).finished.trial.tolist())

    assert {0, 499, 2500, 2999} <= shown
    assert len(shown) == 1000


def test_a_book_reads_only_what_is_new():
    reports = [Report(1, {"accuracy": 0.1}, 0.0)]
    first = made(0, [], Status.RUNNING, reports_so_far=reports, count=1)
    book = CurveBook("accuracy")
    book.read((first,))
    reports.append(Report(2, {"accuracy": 0.2}, 0.0))

    changed = book.read((dataclasses.replace(first, count=2),))

    assert changed
    assert list(book.curves[0].values) == [0.1, 0.2]


def test_a_trial_that_began_anew_loses_its_old_curve():
    book = CurveBook("accuracy")
    book.read((made(0, [0.1, 0.2, 0.3]),))

    book.read((made(0, [0.7], Status.RUNNING),))

    assert list(book.curves[0].values) == [0.7]


def test_a_book_keeps_the_curves_of_some_trials_and_reads_the_others_again():
    trials = [made(n, [n / 5000, n / 4000, n / 9000]) for n in range(5000)]
    book = CurveBook("accuracy")

    book.read(trials)

    assert len(book.curves) <= 4000
    assert list(book.curves[7].values) == [7 / 5000, 7 / 4000, 7 / 9000]
    assert book.points.tolist() == [3] * 5000
    best = Goal(metric="accuracy", direction="maximize", by="best")
    np.testing.assert_array_equal(book.values(best), np.arange(5000) / 4000)
    np.testing.assert_array_equal(book.scores(LOSS), -np.arange(5000) / 9000)


def test_a_book_keeps_the_curves_of_all_trials_that_run():
    trials = [made(n, [0.1], Status.RUNNING if n < 50 else Status.COMPLETED) for n in range(5000)]
    book = CurveBook("accuracy")

    book.read(trials)

    assert set(range(50)) <= book.curves.keys()


def test_a_book_is_of_another_version_after_each_change_alone():
    running = made(1, [0.1], Status.RUNNING)
    book = CurveBook("accuracy")
    book.read((made(0, [0.1]), running))
    version, finished = book.version, book.finished

    book.read((book.trials[0], running))
    assert (book.version, book.finished) == (version, finished)
    book.read((book.trials[0], made(1, [0.1, 0.2], Status.RUNNING)))
    assert (book.version > version, book.finished) == (True, finished)
    book.read((book.trials[0], made(1, [0.1, 0.2])))
    assert book.finished > finished


def test_the_traces_are_ordered_so_that_the_best_lies_on_top():
    names = [trace["name"] for trace in traces(scene_of(mixed()))]

    assert names.index("finished") < names.index("running") < names.index("best")


# --- parallel coordinates


def test_a_log_dimension_says_so_and_ticks_in_decades():
    axis = axis_of(parallel_of(mixed()), "lr")

    assert axis.label == "lr<br>(log)"
    assert axis.texts == ("0.0001", "0.001", "0.01", "0.1")
    assert axis.range == (-4, -1)


def test_a_log_axis_begins_where_the_space_does():
    space = Space({"lr": Real(3e-4, 0.5, log=True)})
    of = snapshot(made(0, [0.1, 0.2], params={"lr": 0.1}), space=space)

    axis = axis_of(parallel_of(of), "lr")

    assert axis.range == (pytest.approx(math.log10(3e-4)), pytest.approx(math.log10(0.5)))
    assert (axis.texts[0], axis.texts[-1]) == ("0.0003", "0.5")


def test_whole_numbers_tick_at_whole_numbers():
    assert axis_of(parallel_of(mixed()), "depth").texts == ("1", "2", "3")


@pytest.mark.parametrize(
    ("domain", "texts", "span"),
    [
        (Range(3, 1), ("1", "2", "3"), (1, 3)),
        (Range("1e-4_1e-1:7.log"), ("0.0001", "0.001", "0.01", "0.1"), (-4, -1)),
        (Real(1, 10, step=4, rounded=True), ("0", "2", "4", "6", "8"), (0, 8)),
        (Real(1, 1e3, log=True, step=4, rounded=True), ("1", "10", "100", "1000"), (0, 3)),
        (Range("0.0-1.0:3"), ("0", "0.2", "0.4", "0.6", "0.8", "1"), (0, 1)),
    ],
)
def test_a_range_has_an_axis_of_numbers(domain, texts, span):
    of = snapshot(made(0, [0.1, 0.2], params={"x": domain.default}), space=Space({"x": domain}))

    axis = axis_of(parallel_of(of), "x")

    assert (axis.texts, axis.range) == (texts, span)


def test_categories_are_named():
    assert axis_of(parallel_of(mixed()), "activation").texts == ("relu", "tanh")


def test_the_metric_is_the_last_axis():
    assert parallel_of(mixed()).axes[-1].path == "accuracy"


def test_constants_have_no_axis():
    assert "epochs" not in [axis.path for axis in parallel_of(mixed()).axes]


def test_failed_trials_and_those_without_a_value_have_no_line():
    of = snapshot(
        made(0, [0.1, 0.2]),
        made(1, [0.3], Status.FAILED),
        made(2, [], Status.RUNNING),
        made(3, [math.nan]),
    )

    assert list(parallel_of(of).trials) == [0]


@pytest.mark.parametrize(("direction", "strongest"), [("maximize", 2), ("minimize", 0)])
def test_the_best_in_the_direction_optimised_is_the_strongest(direction, strongest):
    goal = Goal(metric="accuracy", direction=direction)
    of = snapshot(made(0, [0.1]), made(1, [0.2]), made(2, [0.3]), goals=(goal,))

    assert int(parallel_of(of).strength.argmax()) == strongest


def test_among_many_trials_a_handful_stands_out():
    strength = parallel.strengths(np.linspace(0, 1, 1000).reshape(-1, 1))

    assert 3 <= int((strength > 0.7).sum()) <= 10


def test_values_out_of_range_lie_at_the_end_of_the_axis_which_says_so():
    trials = [made(n, curve(n, 27)) for n in range(20)]

    metric = parallel_of(snapshot(*trials, made(20, [-9.0] * 3, Status.STOPPED))).axes[-1]

    assert metric.texts[0].startswith("≤")
    assert metric.values.min() >= np.float32(metric.range[0])


def test_a_param_of_a_branch_not_taken_lies_below_its_axis():
    space = Space({"model": Choice(Space({"C": Real(1, 10)}), Space({"depth": Int(1, 5)}))})
    of = snapshot(
        made(0, [0.1], params={"model": {"C": 2.0}}),
        made(1, [0.2], params={"model": {"depth": 3}}),
        space=space,
    )

    axis = axis_of(parallel_of(of), "model.C")

    assert axis.texts[0] == "—"
    assert list(axis.values < 1) == [False, True]


def test_a_domain_without_bounds_shows_the_range_that_was_tried():
    of = snapshot(
        made(0, [0.1], params={"shift": -3.0}),
        made(1, [0.2], params={"shift": 4.0}),
        space=Space({"shift": Normal(0, 3)}),
    )

    low, high = axis_of(parallel_of(of), "shift").range

    assert low <= -3
    assert high >= 4


def test_numbers_that_are_not_listed_lie_on_the_axes():
    space = Space({"depth": Range(1, 9, 4), "width": Choice(16, 32, 64)})
    trials = [made(0, [0.1], params={"depth": 12, "width": 40})]

    scene = parallel_of(snapshot(*trials, space=space))

    assert axis_of(scene, "depth").range == (1, 12)
    assert list(axis_of(scene, "width").values) == [1]  # beside 32, the nearest


def test_of_many_dimensions_those_that_tell_most_are_shown():
    space = Space({f"x{i}": Real(0, 1) for i in range(20)})
    rng = np.random.default_rng(0)
    trials = []
    for n in range(60):
        params = {f"x{i}": float(rng.random()) for i in range(20)}
        trials.append(made(n, [params["x17"]], params=params))

    scene = parallel_of(snapshot(*trials, space=space))

    assert "x17" in [axis.path for axis in scene.axes]
    assert scene.hidden == 10


def test_narrow_figures_shorten_names_and_keep_their_beginning():
    of = snapshot(
        made(0, [0.1], params={"learning_rate_init": 0.1}),
        space=Space({"learning_rate_init": Real(0, 1)}),
    )

    label = parallel_of(of, width=180).axes[0].label

    assert label == "learnin…"


def test_without_trials_the_axes_of_the_space_are_drawn():
    figure = overview.figure(snapshot())

    assert [dim.label for dim in figure.data[-1].dimensions][:1] == ["lr<br>(log)"]
    assert len(figure.data[-1].dimensions[0]["values"]) == 1


# --- figures and words


def test_both_views_are_one_figure_with_transparent_ground():
    figure = overview.figure(mixed())

    assert {trace.type for trace in figure.data} == {"scatter", "parcoords"}
    assert figure.layout.paper_bgcolor == "rgba(0,0,0,0)"


def test_plots_draw_what_the_sweep_is_now():
    plots = Plots(mixed)

    assert plots.curves().data[0].type == "scatter"
    assert [d.label for d in plots.parallel(["depth"]).data[0].dimensions] == ["depth", "accuracy"]


def test_the_strongest_shade_is_the_last():
    assert theme.LIGHT.colorscale()[-1] == [1.0, theme.LIGHT.scale[-1]]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.96773, "0.9677"),
        (1.94e-6, "1.94e-6"),
        (157.0, "157"),
        (123456.7, "123457"),
        (1e30, "1e30"),
        (math.nan, "NaN"),
        (-math.inf, "-∞"),
        (None, ""),
    ],
)
def test_numbers_read_at_a_glance(value, text):
    assert number(value) == text


def test_a_column_has_the_same_decimals():
    assert aligned([0.96773, 0.96, None, math.nan]) == ["0.9677", "0.9600", "", "NaN"]


def test_a_column_of_sizes_far_apart_has_not():
    assert aligned([3.0, 1e-5]) == ["3", "1e-5"]


@pytest.mark.parametrize(("seconds", "text"), [(41.9, "0:41"), (723, "12:03"), (11265, "3:07:45")])
def test_durations_are_clocks(seconds, text):
    assert duration(seconds) == text


def test_long_words_lose_their_middle():
    assert shortened("abcdefghij" * 5, 12) == "abcdefg…ghij"


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3e9, 7e12), (1e-9, 3e-9), (5.0, 5.0)])
def test_linear_ticks_lie_inside(low, high):
    ticks = linear_ticks(low, high)

    assert ticks
    assert all(low - 1e-9 * abs(low) <= tick <= high + 1e-9 * abs(high) for tick in ticks)


def test_powers_of_two_tick_as_such():
    assert log_ticks(16, 256, whole=True) == [16, 32, 64, 128, 256]


def test_whole_ticks_do_not_crowd_the_ends():
    assert whole_ticks(1, 26) == [1, 5, 10, 15, 20, 26]


def test_a_range_is_moved_out_to_round_numbers():
    low, high = rounded_out(0.113, 0.972)

    assert low == pytest.approx(0.1)
    assert high == pytest.approx(1.0)


def test_the_axis_of_listed_values_spells_them_as_python_does():
    space = Space({"depth": Choice(None, 3, True)})
    trials = [made(n, [0.5], params={"depth": depth}) for n, depth in enumerate((None, 3, True))]

    axis = axis_of(parallel_of(snapshot(*trials, space=space)), "depth")

    assert axis.texts == ("None", "3", "True")
