"""What a sweep says while a script waits for it."""

import io
import os
import pty
import signal
import subprocess
import sys
import time

import pytest
from pictured import ended, mixed

import nbtune
from nbtune import Real, Sweep, report
from nbtune.exceptions import SpecError
from nbtune.progress import ProgressLine
from nbtune.workers import Inline

SCRIPT = """
import sys, time
from nbtune import Real, Sweep, report

def digits(lr: Real(0, 1) = 0.5):
    time.sleep({pause})
    report(loss=lr)

if __name__ == "__main__":
    sweep = Sweep(digits, minimize="loss", trials={trials}, searcher="random", workers=1, seed=1)
    sweep.start()
    print("started", flush=True)
    sweep.wait()
"""


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))


@pytest.fixture
def script(tmp_path):
    """Start a script that tunes; its output goes into pipes, or its errors where they are told."""
    started = []

    def start(*, pause=0.0, trials=3, stderr=subprocess.PIPE):
        file = tmp_path / "script.py"
        file.write_text(SCRIPT.format(pause=pause, trials=trials))
        command = [sys.executable, str(file)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=tmp_path
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in filter(None, (process.stdout, process.stderr)):
            stream.close()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def quick(**options):
    def objective(x: Real(0, 1) = 0.25):
        report(loss=x)

    given = {"minimize": "loss", "trials": 1, "workers": Inline(1), "searcher": "random"}
    return Sweep(objective, name="quick", **{**given, **options})


def test_a_script_says_how_its_sweep_ended(script):  # FEATURES I4
    _, said = script().communicate()

    [line] = said.splitlines()
    assert line.startswith("digits: completed, 3 of 3 trials, best loss ")


def test_on_a_terminal_the_line_grows_in_its_place(script):
    terminal, side = pty.openpty()
    process = script(pause=0.3, stderr=side)
    os.close(side)

    process.wait()
    said = os.read(terminal, 100_000).decode()
    os.close(terminal)

    assert "\r\x1b[Kdigits: running, 0 of 3 trials" in said
    assert said.count("\n") == 1
    assert said.rpartition("\r\x1b[K")[2].startswith("digits: completed, 3 of 3 trials")


def test_a_line_that_was_ended_is_not_written_again(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    line, done = ProgressLine(), ended(mixed())

    line.show(done)  # at a tick that came between the sweep's last state and its end
    line.show(done)
    line.leave()

    assert sys.stderr.getvalue().count("\n") == 1


def test_without_progress_nothing_is_said(capfd):
    quick(progress=False).run()

    assert capfd.readouterr() == ("", "")


def test_a_notebook_has_its_dashboard_and_no_line(capfd, monkeypatch):
    monkeypatch.setattr("nbtune.sweep.has_dashboard", lambda: True)

    quick().run()

    assert capfd.readouterr() == ("", "")


def test_progress_is_shown_in_a_notebook_that_asks_for_it(capfd, monkeypatch):
    monkeypatch.setattr("nbtune.sweep.has_dashboard", lambda: True)

    quick(progress=True).run()

    assert capfd.readouterr().err.startswith("quick: completed, 1 of 1 trials, best loss 0.25")


def test_a_progress_that_is_no_flag_is_refused():
    with pytest.raises(SpecError, match=r"progress='no'.*needs True or False"):
        quick(progress="no")


def test_the_line_tells_trials_best_and_when_done(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "120")

    ProgressLine().show(mixed())

    assert terminal.getvalue() == (
        "\r\x1b[Kdigits: running, 10 of 60 trials, best accuracy 0.9407 in trial 3, "
        "0:41 and about 0:22 left"
    )


def test_a_line_is_cut_to_the_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "20")

    ProgressLine().show(mixed())

    assert terminal.getvalue() == "\r\x1b[Kdigits: running, 1…"


@pytest.mark.parametrize("closed", [True, False])
def test_a_closed_stderr_holds_nothing_up(monkeypatch, closed):
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream if closed else None)

    ProgressLine().show(ended(mixed()))


def test_an_interrupted_script_says_how_to_go_on(script, tmp_path):
    process = script(pause=0.2, trials=1000)
    assert process.stdout.readline() == "started\n"
    while nbtune.load("digits").snapshot().progress[0] == "0":
        time.sleep(0.1)

    process.send_signal(signal.SIGINT)
    _, said = process.communicate()

    assert said.splitlines()[-1].endswith(
        "sweep 'digits' ends with this script. All that was reported is stored: "
        "nbtune.load('digits').resume() goes on from there."
    )


def test_the_next_run_of_an_interrupted_script_says_that_it_was(script):
    process = script(pause=0.2, trials=1000)
    assert process.stdout.readline() == "started\n"
    process.kill()
    process.wait()

    def digits(lr: Real(0, 1)):
        report(loss=lr)

    with pytest.raises(nbtune.exceptions.SweepError, match=r"trials, interrupted\). Go on with"):
        Sweep(digits, minimize="loss", trials=1, name="digits")
