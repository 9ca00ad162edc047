"""The figure under the pointer: curves are hovered and clicked, axes are brushed."""

import ast

import pytest
from jupyterlab_page import eventually

LOAD = "%load_ext nbtune\nfrom nbtune import Real, current_trial, report"

# Six trials end; the seventh, where there is one, reports nothing for as long as the test runs.
TUNE = """%%tune demo --maximize accuracy --trials {trials} --searcher random --workers 2 --seed 1
import time
lr: Real(0.0, 1.0) = 0.5
if current_trial().number == 6:
    time.sleep(600)
for epoch in range(1, 11):
    report(epoch=epoch, accuracy=lr * epoch / 10)"""

SELECTED = "sorted(demo.selected['params.lr'])"

END_OF_A_CURVE = """() => {
    const plot = document.querySelector('.js-plotly-plot');
    plot.scrollIntoView({ block: 'center' });
    const trace = plot._fullData[0];
    const { xaxis, yaxis } = plot._fullLayout;
    const index = Array.from(trace.y).findLastIndex(Number.isFinite);
    const box = plot.getBoundingClientRect();
    return {
        x: box.left + xaxis._offset + xaxis.d2p(trace.x[index]),
        y: box.top + yaxis._offset + yaxis.d2p(trace.y[index]),
        trial: trace.customdata[index],
    };
}"""


@pytest.fixture
def live(page, write_notebook):
    """A page with the figure of a running sweep, six curves in it."""
    page.open(write_notebook(LOAD, TUNE.format(trials=7), SELECTED))
    page.run_cell(0)
    page.run_cell(1)
    eventually(lambda: page.points_drawn() >= 60)
    return page


@pytest.fixture
def ended(page, write_notebook):
    """A page with the figure that stays of a sweep of six trials."""
    page.open(write_notebook(LOAD, TUNE.format(trials=6)))
    page.run_all()
    page.page.wait_for_selector(".nbtune-twin")
    eventually(lambda: page.points_drawn() >= 60)
    return page


@pytest.mark.parametrize("shown", ["live", "ended"])
def test_a_curve_under_the_pointer_says_which_trial_it_is(shown, request):
    page = request.getfixturevalue(shown)

    def hover():
        end = page.page.evaluate(END_OF_A_CURVE)
        page.page.mouse.move(end["x"] - 30, end["y"])
        page.page.mouse.move(end["x"], end["y"], steps=3)
        labels = " ".join(page.page.locator(".hoverlayer").all_text_contents())
        return f"trial {end['trial']} · epoch 10" in labels

    eventually(hover)


def test_a_click_on_a_curve_opens_the_panel_of_its_trial(live):
    title = live.page.locator(".nbt-panel .nbt-name")

    def click():
        end = live.page.evaluate(END_OF_A_CURVE)
        live.page.mouse.move(end["x"] - 5, end["y"])
        live.page.mouse.click(end["x"], end["y"])
        return title.all_inner_texts() == [f"Trial {end['trial']}"]

    eventually(click, every=1)


def test_a_brush_on_an_axis_selects_the_trials_within(live):
    live.page.locator(".parcoords").first.scroll_into_view_if_needed()
    axis = live.page.locator(".parcoords .axis-brush").first.bounding_box()
    middle = axis["x"] + axis["width"] / 2

    live.page.mouse.move(middle, axis["y"] + axis["height"] / 2)
    live.page.mouse.down()
    live.page.mouse.move(middle, axis["y"] + 1, steps=8)
    live.page.mouse.up()

    live.page.wait_for_selector(".nbt-brushed:not(:empty)")
    live.run_cell(2)
    [value] = ast.literal_eval(eventually(lambda: live.text(2)))
    assert value > 0.5
