"""What a page shows that is too slow for the live figure."""

import pytest
from jupyterlab_page import eventually

LOAD = """import time
from nbtune import Real, Sweep, report

def train(lr: Real(0.0, 1.0) = 0.5):
    for epoch in range(1, 11):
        time.sleep(0.1)
        report(epoch=epoch, accuracy=lr * epoch / 10)

demo = Sweep(train, maximize="accuracy", trials=100_000, workers=2, name="demo").start()"""

UNTIL_CURVES = """while demo.best is None or len(demo.best.reports) < 10:
    time.sleep(0.1)"""

# anywidget 0.11 gives up on a module that takes 2 s. Plotly's alone of ours is over a megabyte.
SLOW = """
const createObjectURL = URL.createObjectURL;
URL.createObjectURL = (blob) => createObjectURL.call(URL, blob.size < 1e6 ? blob : new Blob(
    ["await new Promise((done) => setTimeout(done, 4000));", blob], { type: blob.type }));
"""


@pytest.mark.parametrize("first", ["", UNTIL_CURVES], ids=["without curves", "with curves"])
def test_a_figure_that_comes_too_late_is_replaced_by_a_picture_that_is_renewed(
    page, write_notebook, first
):
    page.page.add_init_script(SLOW)
    page.open(write_notebook(LOAD, f"{first}\ndemo.dashboard()"))
    page.run_all()
    picture = page.page.locator(".nbtune-dashboard svg[role=img]")

    picture.wait_for()
    shown = picture.inner_html()

    eventually(lambda: picture.inner_html() != shown)
