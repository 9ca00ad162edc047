"""A value that cannot be sent is made once in each worker process."""

import threading

import ipywidgets
import pytest

from nbtune import ObjectiveError, Sweep, per_worker
from nbtune.objective import from_cell, write_payload
from nbtune.workers import Local


def test_value_is_made_once_in_a_process_from_what_the_notebook_has(tmp_path):
    namespace = {"__name__": "__main__", "per_worker": per_worker, "X": [1, 2], "path": tmp_path}
    code = """\
import threading
@per_worker
def made():
    with (path / "made").open("a") as file:
        file.write("x")
    return threading.Lock(), sum(X)"""
    exec(code, namespace)
    cell = from_cell("a: Real(0, 1)\nlock, total = made()\ntotal", namespace, filename="c")

    sweep = Sweep(cell, minimize="loss", trials=3, workers=Local(1), store=tmp_path / "s").run()

    assert list(sweep.trials["metrics.loss"]) == [3, 3, 3]
    assert (tmp_path / "made").read_text() == "x"


def test_what_cannot_be_sent_is_told_of_it(tmp_path):
    cell = from_cell("a: Real(0, 1)\nlock", {"lock": threading.Lock()}, filename="c")

    with pytest.raises(ObjectiveError, match=r"under @nbtune\.per_worker"):
        write_payload(cell.call, tmp_path / "payload")


def test_widget_that_cannot_be_sent_is_to_give_its_value(tmp_path):
    slider = ipywidgets.FloatSlider(0.5)
    vars(slider)["page"] = threading.Lock()  # as its connection in a kernel
    namespace = {"__name__": "__main__", "slider": slider}
    cell = from_cell("a: Real(0, 1)\nslider.value", namespace, filename="c")

    with pytest.raises(ObjectiveError, match=r"lives in the page .* value = slider\.value"):
        write_payload(cell.call, tmp_path / "payload")
