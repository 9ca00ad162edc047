"""The dashboard in JupyterLab, as its user sees it."""

import re
import shutil
from pathlib import Path

import nbformat
import pytest
from jupyterlab_page import eventually
from nbconvert import HTMLExporter

LOAD = "%load_ext nbtune\nfrom nbtune import Choice, Int, Real, report"

TUNE = """%%tune demo --maximize accuracy --trials {trials} --searcher random --workers 2 --seed 1
import time
lr: Real(0.0, 1.0) = 0.5
for epoch in range(1, 11):
    time.sleep({pause})
    report(epoch=epoch, accuracy=lr * epoch / 10)"""

BUSY = """import time
while True:  # until the kernel is shut down
    time.sleep(0)"""

WAIT = "demo.wait()\nprint('the wait ended:', demo.status.value)"

QUICKSTART = Path(__file__).resolve().parents[2] / "notebooks" / "quickstart.ipynb"


def test_the_quickstart_runs_to_its_end_and_shows_the_result(page, lab):  # FEATURES D3 D5
    folder = lab.root / "quickstart"
    folder.mkdir()
    shutil.copy(QUICKSTART, folder)
    sources = [cell.source for cell in nbformat.read(QUICKSTART, as_version=4).cells]
    sweep = next(i for i, source in enumerate(sources) if source.startswith("%%tune"))
    page.open("quickstart/quickstart.ipynb")

    page.run_all()
    page.wait_idle()

    assert "accuracy on held-out test data: 0.9" in page.text(len(sources) - 1)
    shown = eventually(lambda: saved_bundles(page, sweep))
    assert any("60 of 60 trials" in bundle["text/plain"] for bundle in shown)
    page.page.wait_for_selector(".js-plotly-plot")
    assert page.points_drawn() > 60
    assert not any(output["output_type"] == "error" for output in all_outputs(page, sources))


def test_the_curves_grow_while_another_cell_is_busy(page, write_notebook):  # FEATURES D4
    page.open(write_notebook(LOAD, TUNE.format(trials=200, pause=0.1), BUSY))
    page.run_all()
    first = eventually(page.points_drawn)

    seen = {first}
    eventually(lambda: seen.add(page.points_drawn()) or len(seen) >= 5, every=0.1)

    assert page.is_running(2)
    assert max(seen) > first


def test_the_panel_of_a_trial_says_why_it_was_tried(page, write_notebook):
    tune = TUNE.format(trials=30_000, pause=0.02).replace("= 0.5", "= 1.0")  # none is better
    page.open(write_notebook(LOAD, tune))
    page.run_all()
    rows, chosen = page.page.locator(".nbt-table tbody tr"), page.page.locator(".nbt-chosen")

    def says(why, row):
        if chosen.all_inner_texts() == [why]:
            return True
        rows.nth(row).dispatch_event("click")  # the rows never come to rest: it may meet no one
        return False

    eventually(lambda: says("default", 0), every=2)
    eventually(lambda: says("random draw", 1), every=2)


@pytest.mark.parametrize("kernel", ["python3", "ipykernel73"])
def test_stop_pressed_during_wait_ends_the_sweep(page, lab, write_notebook, kernel, request):
    if kernel == "ipykernel73":
        lab.add_kernel(kernel, python_path=request.getfixturevalue(kernel))
    version = "import ipykernel\nipykernel.__version__"
    tune = TUNE.format(trials=1000, pause=0.1)
    page.open(write_notebook(LOAD, version, tune, WAIT, kernel=kernel))
    page.run_all()
    eventually(page.points_drawn)
    assert page.is_running(3)

    page.click_button("Stop")

    # Not by the kernel's status: the widget's messages, on a subshell, set it to idle as well.
    eventually(lambda: page.text(3).strip() == "the wait ended: stopped")
    assert ("7.3" in page.text(1)) == (kernel == "ipykernel73")


def test_stop_pressed_while_another_cell_is_busy_ends_the_sweep(page, write_notebook):
    page.open(write_notebook(LOAD, TUNE.format(trials=1000, pause=0.1), BUSY))
    page.run_all()
    eventually(page.points_drawn)

    page.click_button("Stop")
    shown = eventually(lambda: saved_bundles(page, 1))

    assert page.is_running(2)
    assert "stopped by you" in shown[0]["text/plain"]


def test_a_finished_sweep_shows_without_a_kernel(page, lab, write_notebook):
    path = write_notebook(LOAD, TUNE.format(trials=6, pause=0.02))
    page.open(path)
    page.run_all()
    eventually(lambda: saved_bundles(page, 1))
    page.save()
    lab.shut_down_kernels()

    content = nbformat.read(lab.root / path, as_version=4)
    absent = {"name": "absent", "display_name": "Absent", "language": "absent"}
    content.metadata = {"kernelspec": absent}
    nbformat.write(content, lab.root / path)
    page.open(path, kernel=False)
    page.page.locator(".jp-Dialog").get_by_role("button", name="No Kernel").click()

    assert lab.api("GET", "kernels") == []
    page.page.wait_for_selector(".js-plotly-plot .main-svg")
    assert page.points_drawn() >= 60
    table = page.page.locator(".jp-OutputArea table").last
    assert len(re.findall("completed", table.inner_text())) == 6
    assert "Error displaying widget" not in page.page.inner_text("body")


def test_a_finished_sweep_is_in_the_html_of_nbconvert(page, write_notebook):
    page.open(write_notebook(LOAD, TUNE.format(trials=6, pause=0.02)))
    page.run_all()
    eventually(lambda: saved_bundles(page, 1))

    html, _ = HTMLExporter().from_notebook_node(page.save())

    body = html[html.index("<body") :]
    assert "6 of 6 trials" in body
    assert len(re.findall(r"<td[^>]*>completed</td>", body)) == 6
    # Offline, and without scripts, the figure is there as a drawing.
    assert re.search(r"<svg|image/svg\+xml|data:image/png", body)


def saved_bundles(page, index):
    """Return a cell's outputs once none of them needs a kernel."""
    bundles = [output.get("data", {}) for output in page.outputs(index)]
    live = "application/vnd.jupyter.widget-view+json"
    static = [bundle for bundle in bundles if "text/html" in bundle]
    return static if static and not any(live in bundle for bundle in bundles) else []


def all_outputs(page, sources):
    return [output for index in range(len(sources)) for output in page.outputs(index)]
