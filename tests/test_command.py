"""Command lines as objectives: real programs, on real worker processes."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from driving import PATIENCE, Driver, is_gone, wait_until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nbtune
from nbtune import Bool, Choice, Command, Int, Real, Space, Sweep
from nbtune.decision import Complete, Continue, Reject, Stop
from nbtune.engine.ending import STOP_GRACE_SECONDS
from nbtune.exceptions import ObjectiveError, SpaceError, SpecError, SweepError, TrialError
from nbtune.objective.call import Call
from nbtune.objective.child import STOP_SECONDS
from nbtune.schedulers import Hyperband
from nbtune.trial import Status
from nbtune.workers import Inline, Local

ROOT = Path(__file__).parents[1]
PYTHON = sys.executable
LR = {"lr": Real(1e-4, 1e-1, log=True)}
SHOW = "import json, sys; print(json.dumps({'value': 1})); json.dump(sys.argv[1:], sys.stderr)"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


@pytest.fixture
def drive(tmp_path):
    """Return a driver of worker processes that run a command, with a space for its params."""
    drivers = []

    def start(command, space=LR, workers=None, **options):
        call = command.objective(space).call
        drivers.append(Driver(workers or Local(1), call, tmp_path / "sweep", **options))
        return drivers[-1]

    yield start
    for driver in drivers:
        driver.workers.close()


def script(text, *arguments):
    """Return a command that runs a Python script, kept in the working folder."""
    path = Path("train.py").absolute()
    path.write_text(textwrap.dedent(text))
    return Command([PYTHON, str(path), *arguments])


def log_of(folder, number=0):
    return (folder / "sweep" / str(number) / "log.txt").read_text()


def shown_by(driver, folder, params):
    """Run a trial of `SHOW`; return the arguments that it got."""
    number = driver.start(params)
    assert driver.ended(number).how == "returned"
    return json.loads(log_of(folder, number).splitlines()[-1])


def report_of(driver, params=None, **options):
    """Return the metrics that a trial reported, all steps together, and how it ended."""
    ended = driver.run(params or {"lr": 0.01}, **options)
    return {report.step: dict(report.metrics) for report in driver.reports(ended.number)}, ended


# --- templates


# FEATURES P6
def test_names_in_braces_are_filled_in(drive, tmp_path):
    words = ["--lr={{ lr }}", "{{params.lr}}", "n{{ trial.number }}", "{{ trial.dir }}"]
    driver = drive(Command([PYTHON, "-c", SHOW, *words]))

    assert shown_by(driver, tmp_path, {"lr": 0.001}) == [
        "--lr=0.001",
        "0.001",
        "n0",
        str(tmp_path / "sweep" / "0"),
    ]


def test_a_string_is_split_as_a_shell_would_with_its_templates_whole(drive, tmp_path):
    driver = drive(Command(f"{PYTHON} -c \"{SHOW}\" --lr={{{{ lr }}}} 'two words {{{{lr}}}}'"))

    assert shown_by(driver, tmp_path, {"lr": 0.5}) == ["--lr=0.5", "two words 0.5"]


def test_what_is_no_text_comes_as_json(drive, tmp_path):
    space = {
        "flag": Bool(),
        "none": Choice(None, 1),
        "list": Choice([1, "a"], 2),
        "small": Real(0.0, 1.0),
        "layers": Int(1, 9),
    }
    driver = drive(Command([PYTHON, "-c", SHOW, *(f"{{{{ {name} }}}}" for name in space)]), space)

    given = {"flag": True, "none": None, "list": [1, "a"], "small": 1e-7, "layers": 3}
    assert shown_by(driver, tmp_path, given) == ["true", "null", '[1, "a"]', "1e-07", "3"]


@pytest.mark.parametrize(
    ("amp", "arguments"), [(True, ["--amp", "x", "--on"]), (False, ["x", "--off"])]
)
def test_a_flag_is_there_where_its_param_is_true(drive, tmp_path, amp, arguments):
    words = ["{{ --amp if amp }}", "x", "{{ --on if params.amp else --off }}"]
    driver = drive(Command([PYTHON, "-c", SHOW, *words]), {"amp": Bool()})

    assert shown_by(driver, tmp_path, {"amp": amp}) == arguments


@pytest.mark.parametrize(
    ("value", "arguments"),
    [("", ["--name", "", "--x="]), ("a", ["a", "--name", "a", "--x=a", "a"])],
)
def test_an_empty_value_alone_is_an_argument_only_after_an_option(
    drive, tmp_path, value, arguments
):
    words = ["{{ x }}", "--name", "{{ x }}", "--x={{ x }}", "{{ x }}"]
    driver = drive(Command([PYTHON, "-c", SHOW, *words]), {"x": Choice("", "a")})

    assert shown_by(driver, tmp_path, {"x": value}) == arguments


@pytest.mark.parametrize(
    "command",
    [
        Command(["python", "-c", "import sys; print(sys.prefix)", "{{ lr }}"]),
        Command("python3 -c 'import sys; print(sys.prefix)' {{ lr }}"),
        Command("python -c 'import sys; print(sys.prefix)' {{ lr }}", shell=True),
    ],
    ids=["words", "line", "shell"],
)
def test_python_is_the_python_of_the_process_that_runs_the_trial(
    drive, tmp_path, monkeypatch, command
):
    other = tmp_path / "bin"
    other.mkdir()
    for name in ("python", "python3"):
        (other / name).write_text("#!/bin/sh\necho another")
        (other / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(other), prepend=os.pathsep)
    driver = drive(command)

    number = driver.start({"lr": 0.5})
    driver.ended(number)

    assert log_of(tmp_path, number).splitlines()[-1] == sys.prefix


def test_path_in_env_says_which_python(drive, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text("#!/bin/sh\necho another")
    (tmp_path / "bin" / "python").chmod(0o755)
    path = os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]])
    driver = drive(Command("python {{ lr }}", env={"PATH": path}))

    number = driver.start({"lr": 0.5})
    driver.ended(number)

    assert log_of(tmp_path, number).splitlines()[-1] == "another"


def test_script_that_prints_no_metric_is_told_how_to():
    sweep = Sweep(Command("python -c pass {{ lr }}"), LR, minimize="loss", trials=1, workers=1)

    with pytest.raises(SweepError, match=r'Print a line of JSON .*\{"epoch": 1, "loss": 0.5\}'):
        sweep.run()


def test_all_params_go_in_as_json(drive, tmp_path):
    driver = drive(Command([PYTHON, "-c", SHOW, "{{ params }}"]))

    (told,) = shown_by(driver, tmp_path, {"lr": 0.25})
    assert json.loads(told) == {"lr": 0.25}


NESTED = {
    "model": Choice(
        Space({"kind": "tree", "depth": Int(1, 9)}),
        Space({"kind": "linear", "penalty": Real(0.0, 1.0)}),
    )
}


def test_an_argument_whose_branch_is_not_chosen_is_left_out(drive, tmp_path):
    words = ["{{ model.kind }}", "--depth={{ model.depth }}", "--penalty={{ model.penalty }}"]
    driver = drive(Command([PYTHON, "-c", SHOW, *words]), NESTED)

    tree, linear = {"kind": "tree", "depth": 3}, {"kind": "linear", "penalty": 0.5}
    assert shown_by(driver, tmp_path, {"model": tree}) == ["tree", "--depth=3"]
    assert shown_by(driver, tmp_path, {"model": linear}) == ["linear", "--penalty=0.5"]


def test_quoted_braces_stand_for_themselves(drive, tmp_path):
    driver = drive(Command([PYTHON, "-c", SHOW, '{{ "{{" }}.Names}}', "{{ lr }}"]))

    assert shown_by(driver, tmp_path, {"lr": 0.5}) == ["{{.Names}}", "0.5"]


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    """A driver of threads that run `SHOW` on a text, as one argument and by way of a shell."""
    folder = tmp_path_factory.mktemp("echo")
    space = {"text": Choice("a", "b")}
    plain = Command([PYTHON, "-S", "-c", SHOW, "--text={{ text }}", "{{ text }}"], cwd=folder)
    line = f"{PYTHON} -S -c '{SHOW.replace(chr(39), chr(34))}' --text={{{{ text }}}} {{{{ text }}}}"
    shell = Command(line, shell=True, cwd=folder)
    with (
        Driver(Inline(), plain.objective(space).call, folder / "plain") as one,
        Driver(Inline(), shell.objective(space).call, folder / "shell") as other,
    ):
        yield one, other, folder


@pytest.mark.parametrize("way", ["plain", "shell"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_text_arrives_as_it_is(echo, way, text):
    driver = echo[way == "shell"]

    number = driver.start({"text": text})

    assert driver.ended(number).how == "returned"
    log = (echo[2] / way / str(number) / "log.txt").read_bytes()
    assert json.loads(log.split(b"\n")[-1]) == [
        f"--text={text}",
        *([text] if text or way == "shell" else []),
    ]


# --- what surrounds it


def test_the_environment_holds_what_was_given_and_the_params(drive, tmp_path):
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    command = Command([PYTHON, "-c", show], env={"RATE": "x{{ lr }}", "PLAIN": "as it is"})

    assert drive(command).run({"lr": 0.5}).how == "returned"

    told = json.loads(log_of(tmp_path).splitlines()[-1])
    assert (told["RATE"], told["PLAIN"]) == ("x0.5", "as it is")
    assert json.loads(told["NBTUNE_PARAMS"]) == {"lr": 0.5}
    assert told["NBTUNE_TRIAL_DIR"] == str(tmp_path / "sweep" / "0")
    assert told["NBTUNE_TRIAL_NUMBER"] == "0"
    assert told["PATH"].endswith(os.environ["PATH"])


def test_the_params_are_a_file_in_the_trials_folder(drive, tmp_path):
    drive(Command("true")).run({"lr": 0.5})

    assert json.loads((tmp_path / "sweep" / "0" / "params.json").read_text()) == {"lr": 0.5}


def test_it_runs_where_it_was_made_unless_told_otherwise(drive, tmp_path):
    (tmp_path / "sub-0.5").mkdir()

    here, there = Command("pwd"), Command("pwd", cwd="sub-{{ lr }}")
    os.chdir("/")

    drive(here).run({"lr": 0.5})
    first = log_of(tmp_path).splitlines()[-1]
    drive(there).run({"lr": 0.5})

    assert first == str(tmp_path)
    assert log_of(tmp_path).splitlines()[-1] == str(tmp_path / "sub-0.5")


def test_it_may_run_in_the_trials_folder(drive, tmp_path):
    drive(Command("pwd", cwd="{{ trial.dir }}")).run({"lr": 0.5})

    assert log_of(tmp_path).splitlines()[-1] == str(tmp_path / "sweep" / "0")


def test_a_shell_runs_what_only_a_shell_can(drive, tmp_path):
    line = 'cd / && echo "$(pwd)" {{ lr }} | sed "s/^/got /"'
    drive(Command(line, shell=True)).run({"lr": 0.5})

    assert log_of(tmp_path).endswith("got / 0.5\n")


def test_the_log_begins_with_the_command_and_holds_both_streams(drive, tmp_path):
    show = "import sys; print('out'); print('err', file=sys.stderr)"
    drive(Command([PYTHON, "-c", show, "{{ lr }}"])).run({"lr": 0.5})

    first, *rest = log_of(tmp_path).splitlines()
    assert first.startswith("$ ")
    assert first.endswith(" 0.5")
    assert sorted(rest) == ["err", "out"]


def test_a_flood_without_line_ends_costs_nothing(drive, tmp_path):
    flood = """
    import sys
    sys.stdout.write("x" * 5_000_000)
    sys.stderr.write("y" * 1_000_000)
    print()
    print('{"value": 0.5}')
    """

    ended = drive(script(flood)).run({"lr": 0.5})

    assert len(log_of(tmp_path)) > 6_000_000
    assert (ended.how, ended.result) == ("returned", {})


# --- reports as JSON lines


def lines(*said):
    """Return a command that prints lines."""
    return script("".join(f"print({line!r})\n" for line in said))


def test_a_json_line_with_the_metric_is_a_report(drive):
    driver = drive(lines('{"epoch": 1, "value": 0.5, "loss": 2}', '{"epoch": 3, "value": NaN}'))

    reports, ended = report_of(driver)

    assert reports[1] == {"value": 0.5, "loss": 2.0}
    assert list(reports) == [1, 3]
    assert ended.how == "returned"


@pytest.mark.parametrize("key", ["round", "step"])
def test_the_step_has_the_sweeps_name_or_is_called_step(drive, key):
    driver = drive(lines(f'{{"{key}": 7, "value": 0.5}}'), step_name="round")

    assert report_of(driver)[0] == {7: {"value": 0.5}}


def test_lines_without_steps_are_counted(drive):
    assert report_of(drive(lines('{"value": 1}', '{"value": 2}')))[0] == {
        1: {"value": 1.0},
        2: {"value": 2.0},
    }


def test_a_line_without_a_step_after_lines_with_one_is_the_result(drive):
    driver = drive(lines('{"epoch": 5, "value": 1}', '{"value": 2, "n": 3}', '{"value": 4}'))

    reports, ended = report_of(driver)

    assert reports == {5: {"value": 1.0}}
    assert ended.result == {"value": 4.0}


@pytest.mark.parametrize(
    "line",
    [
        "plain text",
        '{"event": "start", "lr": 0.1}',
        '{"epoch": 1, "value": "high"}',
        '{"epoch": 1, "value": true}',
        '{"epoch": 1, "value": null}',
        '{"epoch": 0, "value": 1}',
        '{"epoch": "one", "value": 1}',
        '{"epoch": 1.5, "value": 1}',
        '{"epoch": 1, "value": 1',
        '["epoch", 1]',
        "[" * 5000,
        '{"a":' * 5000 + "1" + "}" * 5000,
    ],
)
def test_other_lines_are_log_and_fail_nothing(drive, line):
    driver = drive(lines(line, '{"epoch": 2, "value": 0.5}'), workers=Inline())

    reports, ended = report_of(driver)

    assert reports == {2: {"value": 0.5}}
    assert ended.how == "returned"


def test_a_step_that_does_not_grow_is_passed_over_and_noted_once(drive, tmp_path):
    said = ['{"epoch": 2, "value": 1}', *['{"epoch": 2, "value": 9}'] * 3]

    reports, ended = report_of(drive(lines(*said)))

    assert (reports, ended.how) == ({2: {"value": 1.0}}, "returned")
    assert log_of(tmp_path).count("nbtune: epoch=2 is passed over") == 1


def test_a_metric_of_another_name_is_named_by_the_sweep():
    command = lines('{"epoch": 1, "acc": 0.5}')

    with pytest.raises(nbtune.SweepError, match=r"'accuracy' was never reported.*'acc'"):
        Sweep(command, LR, maximize="accuracy", trials=2, workers=1).run()


def test_a_last_line_without_an_end_counts(drive):
    driver = drive(script("""print('{"epoch": 1, "value": 3}', end='')"""))

    assert report_of(driver)[0] == {1: {"value": 3.0}}


def test_lines_reach_the_sweep_while_the_command_runs(drive):
    driver = drive(
        script("""
        import time
        print('{"epoch": 1, "value": 3}')
        time.sleep(1000)
        """)
    )

    number = driver.start({"lr": 0.1})

    assert driver.reported(number).reports[0].metrics == {"value": 3.0}


# --- reports by nbtune.report

TRAIN = """
import sys
import nbtune
try:
    for epoch in range(1, 100):
        nbtune.report(epoch=epoch, value=epoch / 10)
finally:
    print("in order")
"""


def test_a_script_reports_as_a_cell_does(drive):
    text = "import nbtune\nfor epoch in (1, 2):\n    nbtune.report(epoch=epoch, value=epoch, b=0)"

    assert report_of(drive(script(text)))[0] == {
        1: {"value": 1.0, "b": 0.0},
        2: {"value": 2.0, "b": 0.0},
    }


def test_a_script_knows_its_trial(drive, tmp_path):
    text = """
    import json, nbtune
    trial = nbtune.current_trial()
    (trial.dir / "seen").write_text(json.dumps([trial.number, trial.params, trial.seed]))
    """
    driver = drive(script(text))
    driver.run({"lr": 0.5})
    ended = driver.run({"lr": 0.25})

    number, params, seed = json.loads((tmp_path / "sweep" / "1" / "seen").read_text())
    assert (number, params) == (ended.number, {"lr": 0.25})
    assert seed >= 0


@pytest.mark.parametrize("way", ["report", "print"])
@pytest.mark.parametrize(
    ("decision", "how"), [(Stop("rung"), "stopped"), (Complete("done"), "completed")]
)
def test_a_decision_at_a_milestone_ends_it(drive, tmp_path, way, decision, how):
    text = (
        TRAIN
        if way == "report"
        else """
        import time
        for epoch in range(1, 100):
            print('{"epoch": %d, "value": 1}' % epoch)
            time.sleep(0.05)
        """
    )
    driver = drive(script(text))
    number = driver.start({"lr": 0.5}, milestone=3)
    driver.reported(number, waiting=True)
    driver.workers.answer(number, Continue(5))
    assert driver.reported(number, waiting=True).reports[-1].step == 5

    driver.workers.answer(number, decision)

    assert driver.ended(number).how == how
    assert driver.reports(number)[-1].step == 5


def test_a_stopped_script_unwinds_without_a_traceback(drive, tmp_path):
    driver = drive(script(TRAIN))
    number = driver.start({"lr": 0.5}, milestone=3)
    driver.reported(number, waiting=True)
    driver.workers.answer(number, Stop("rung"))
    driver.ended(number)

    assert log_of(tmp_path).splitlines()[1:] == ["in order"]


def test_a_rejected_report_fails_the_trial_with_its_message(drive):
    driver = drive(script(TRAIN))
    number = driver.start({"lr": 0.5}, milestone=1)
    driver.reported(number, waiting=True)
    driver.workers.answer(number, Reject("not like this"))

    failure = driver.ended(number).failure
    assert (failure.type, failure.message) == ("ReportError", "not like this")


def test_an_error_in_report_is_raised_in_the_script_and_names_its_line(drive):
    text = "import nbtune\nnbtune.report(epoch=2, value=1)\nnbtune.report(epoch=2, value=1)\n"

    ended = drive(script(text)).run({"lr": 0.5})

    assert ended.how == "raised"
    assert "train.py, line 3: epoch=2 does not grow" in ended.failure.message
    assert "ReportError" in ended.failure.traceback


def test_the_json_lines_of_a_script_that_reports_are_log(drive):
    text = """
    import nbtune
    for epoch in (1, 2, 3):
        print('{"epoch": %d, "value": 5}' % epoch)
        nbtune.report(epoch=epoch, value=5)
    """

    reports, ended = report_of(drive(script(text)))

    assert reports == {step: {"value": 5.0} for step in (1, 2, 3)}
    assert ended.how == "returned"


def test_steps_are_counted_on_by_the_processes_of_one_command(drive):
    text = """
    import subprocess, sys, nbtune
    nbtune.report(value=1)
    if len(sys.argv) < 2:
        subprocess.run([sys.executable, sys.argv[0], "child"], check=True)
    """

    assert list(report_of(drive(script(text)))[0]) == [1, 2]


def test_a_fork_of_the_script_reports_on_a_line_of_its_own(drive):
    text = """
    import os, nbtune
    nbtune.report(epoch=1, value=1)
    if os.fork() == 0:
        nbtune.report(epoch=2, value=2)
        os._exit(0)
    os.wait()
    nbtune.report(epoch=3, value=3)
    """

    assert list(report_of(drive(script(text)))[0]) == [1, 2, 3]


def test_a_checkpoint_of_a_script_is_there_when_its_trial_goes_on():
    text = """
    import nbtune, sys
    start = nbtune.load_checkpoint(0)
    print("from", start)
    for epoch in range(start + 1, 10):
        nbtune.save_checkpoint(epoch)
        nbtune.report(epoch=epoch, accuracy=float(sys.argv[1]) * epoch)
    """
    sweep = Sweep(
        script(text, "{{ lr }}"),
        LR,
        maximize="accuracy",
        scheduler=Hyperband(max_t=9, type="promotion"),
        searcher="random",
        seed=1,
        trials=6,
        workers=2,
    ).run()

    logs = [trial.log for trial in sweep.snapshot().trials]
    assert any("from 0" in log and "from 1" in log for log in logs)


def test_a_script_outside_a_sweep_shows_its_report():
    script("import nbtune\nnbtune.report(epoch=3, value=0.5)")

    done = subprocess.run([PYTHON, "train.py"], capture_output=True, text=True, check=True)

    assert done.stdout == "epoch 3  value 0.5\n"


def test_a_script_whose_trial_is_over_says_so():
    script("import nbtune\nnbtune.report(epoch=3, value=0.5)")

    done = subprocess.run(
        [PYTHON, "train.py"],
        env={**os.environ, "NBTUNE_REPORT": "nobody"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "WorkerError: NBTUNE_REPORT=nobody" in done.stderr.splitlines()[-1]


def test_a_script_that_reports_imports_nothing_heavy(drive, tmp_path):
    text = """
    import sys, nbtune
    nbtune.report(value=1)
    print(sorted({"numpy", "pandas", "asyncio", "loky", "cloudpickle", "IPython"} & {*sys.modules}))
    """
    drive(script(text)).run({"lr": 0.5})

    assert log_of(tmp_path).splitlines()[-1] == "[]"


def test_a_worker_that_runs_a_command_does_without_numpy(drive, tmp_path):
    show = "import os; print(open(f'/proc/{os.getppid()}/maps').read())"

    drive(Command([PYTHON, "-c", show])).run({"lr": 0.5})

    log = log_of(tmp_path)
    assert "[heap]" in log
    assert "numpy" not in log


# --- exit codes


# FEATURES P6
def test_another_exit_code_than_0_fails_the_trial_with_its_last_words(drive):
    text = "import sys\nprint('fine')\nsys.stderr.write('first\\nlast words\\n')\nsys.exit(3)"

    ended = drive(script(text)).run({"lr": 0.5})

    assert ended.how == "raised"
    assert ended.failure.message == "the command exited with code 3: last words"
    assert ended.failure.traceback == "first\nlast words"


def test_without_stderr_the_last_words_are_those_of_stdout(drive):
    ended = drive(script("print('sorry'); raise SystemExit(2)")).run({"lr": 0.5})

    assert ended.failure.message == "the command exited with code 2: sorry"


def test_a_signal_is_named(drive):
    ended = drive(script("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")).run(
        {"lr": 0.5}
    )

    assert ended.failure.message == "the command was killed by SIGSEGV"


def test_a_program_that_is_gone_when_the_trial_starts_is_named(drive, tmp_path):
    ended = drive(Command("missing-{{ lr }} --now")).run({"lr": 0.5})

    assert ended.failure.message == "the command 'missing-0.5' was not found"


def test_a_folder_that_is_not_there_is_named(drive):
    ended = drive(Command("true", cwd="nowhere")).run({"lr": 0.5})

    assert "cwd='" in ended.failure.message
    assert "nowhere': there is no such folder" in ended.failure.message


def test_a_failed_command_costs_its_trial_alone():
    command = script(
        "import sys\nprint('{\"accuracy\": 1}')\nsys.exit(int(sys.argv[1]) == 2)", "{{ n }}"
    )

    sweep = Sweep(command, {"n": Int(1, 3)}, maximize="accuracy", searcher="grid", workers=1).run()

    assert [t.status for t in sweep.snapshot().trials] == [
        Status.COMPLETED,
        Status.FAILED,
        Status.COMPLETED,
    ]
    assert "exited with code 1" in sweep.trial(1).reason


def test_the_same_failure_of_each_trial_ends_the_sweep_with_the_scripts_traceback():
    command = script("def train():\n    raise KeyError('data')\ntrain()")

    with pytest.raises(TrialError, match="exited with code 1: KeyError: 'data'") as failed:
        Sweep(command, LR, maximize="accuracy", trials=9, workers=1).run()

    assert "line 2, in train" in failed.value.worker_traceback


# --- the end

STUBBORN = """
import signal, subprocess, sys, time
from pathlib import Path
signal.signal(signal.SIGTERM, lambda *_: print("I stay"))
child = subprocess.Popen(["sleep", "600"])
Path("pids").write_text(f"{child.pid} {__import__('os').getpid()}")
while True:
    time.sleep(0.1)
"""


def pids_of(path):
    wait_until(lambda: path.exists() and len(path.read_text().split()) == 2)
    return [int(pid) for pid in path.read_text().split()]


def assert_gone(pids):
    """A kill has been sent: the kernel takes a moment to carry it out."""
    wait_until(lambda: all(is_gone(pid) for pid in pids))


@pytest.mark.parametrize("workers", [Local, Inline])
def test_stop_ends_a_command_that_ignores_sigterm(drive, tmp_path, workers):
    driver = drive(script(STUBBORN), workers=workers(1))
    number = driver.start({"lr": 0.5})
    pids = pids_of(tmp_path / "pids")

    began = time.monotonic()
    driver.workers.stop(number, "enough")
    ended = driver.ended(number)

    assert ended.how == "stopped"
    assert time.monotonic() - began >= STOP_SECONDS
    assert_gone(pids)
    assert "I stay" in log_of(tmp_path)


def test_a_command_has_ended_before_the_engine_would_kill_its_worker():
    assert STOP_SECONDS < STOP_GRACE_SECONDS


def test_stop_lets_a_command_end_in_order(drive, tmp_path):
    text = """
    import signal, sys, time
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("saved"))
    print("up")
    time.sleep(600)
    """
    driver = drive(script(text))
    number = driver.start({"lr": 0.5})
    log = tmp_path / "sweep" / "0" / "log.txt"
    wait_until(lambda: log.exists() and "up" in log.read_text())

    driver.workers.stop(number, "enough")

    assert driver.ended(number).how == "stopped"
    assert log_of(tmp_path).endswith("saved\n")


def test_a_script_that_does_not_end_after_its_stop_is_ended(drive, monkeypatch):
    monkeypatch.setattr("nbtune.objective.child._UNWIND_SECONDS", 0.3)
    text = """
    import time, nbtune
    try:
        nbtune.report(value=1)
    finally:
        time.sleep(600)
    """
    driver = drive(script(text), workers=Inline())
    number = driver.start({"lr": 0.5}, milestone=1)
    driver.reported(number, waiting=True)

    began = time.monotonic()
    driver.workers.answer(number, Stop("rung"))

    assert driver.ended(number).how == "stopped"
    assert time.monotonic() - began >= 0.3


def test_a_stop_that_the_script_swallows_meets_it_again(drive, tmp_path):
    text = """
    import nbtune
    for epoch in (1, 2, 3):
        try:
            nbtune.report(epoch=epoch, value=1)
        except BaseException as error:
            print(epoch, type(error).__name__)
    """
    driver = drive(script(text))
    number = driver.start({"lr": 0.5}, milestone=2)
    driver.reported(number, waiting=True)
    driver.workers.answer(number, Stop("rung"))

    assert driver.ended(number).how == "stopped"
    assert log_of(tmp_path).splitlines()[1:] == ["2 TrialStopped", "3 TrialStopped"]


def test_nonsense_on_the_socket_harms_nothing(drive):
    text = """
    import os, socket, nbtune
    for nonsense in (b"\\xff\\n", b"[]\\n", b'["hello", 1]\\n', b'["shout"]\\n', b"3\\n", b"["):
        caller = socket.socket(socket.AF_UNIX)
        caller.connect("\\0" + os.environ["NBTUNE_REPORT"])
        caller.sendall(nonsense)
        caller.close()
    nbtune.report(value=1)
    """

    reports, ended = report_of(drive(script(text)))

    assert (reports, ended.how) == ({1: {"value": 1.0}}, "returned")


def test_what_a_command_leaves_behind_is_killed(drive, tmp_path):
    text = """
    import subprocess
    from pathlib import Path
    Path("pids").write_text(f"{subprocess.Popen(['sleep', '600']).pid} 0")
    """

    assert drive(script(text)).run({"lr": 0.5}).how == "returned"

    assert_gone(pids_of(tmp_path / "pids")[:1])


def test_kill_takes_the_commands_whole_family(drive, tmp_path):
    driver = drive(script(STUBBORN))
    number = driver.start({"lr": 0.5})
    pids = pids_of(tmp_path / "pids")

    driver.workers.kill(number)

    assert driver.ended(number).how == "killed"
    assert_gone(pids)


def test_close_leaves_no_process(drive, tmp_path):
    driver = drive(script(STUBBORN))
    driver.start({"lr": 0.5})
    pids = pids_of(tmp_path / "pids")

    driver.workers.close()

    assert_gone(pids)


def test_a_trial_over_its_time_limit_is_stopped():
    command = script("import time\nprint('{\"accuracy\": 1}')\ntime.sleep(600)")

    sweep = Sweep(command, LR, maximize="accuracy", trials=1, workers=1, trial_time_limit=0.5).run()

    (trial,) = sweep.snapshot().trials
    assert trial.status is Status.STOPPED
    assert trial.reason == "over its time limit of 0.5 s"


def test_no_descriptor_is_left_open(drive):
    driver = drive(script("import nbtune\nnbtune.report(value=1)"), workers=Inline())
    driver.run({"lr": 0.5})
    before = psutil.Process().num_fds()

    for _ in range(5):
        driver.run({"lr": 0.5})

    assert psutil.Process().num_fds() <= before


# --- as a sweep


# FEATURES P6
@pytest.mark.parametrize("workers", [2, Inline(2)], ids=["local", "inline"])
def test_a_sweep_finds_the_best_of_a_script(workers):
    text = """
    import argparse, nbtune
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float)
    lr = parser.parse_args().lr
    for epoch in range(1, 4):
        nbtune.report(epoch=epoch, loss=abs(lr - 0.05) / epoch)
    """
    command = script(text, "--lr={{ lr }}")

    sweep = Sweep(command, LR, minimize="loss", trials=5, searcher="random", workers=workers).run()

    assert sweep.name == "train"
    assert list(sweep.trials.steps) == [3] * 5
    assert sweep.best_value == sweep.trials["metrics.loss"].min()


def test_hyperband_stops_commands_that_print_json():
    text = """
    import sys, time
    for epoch in range(1, 10):
        print('{"epoch": %d, "accuracy": %f}' % (epoch, float(sys.argv[1]) * epoch), flush=True)
        time.sleep(0.02)
    """
    sweep = Sweep(
        script(text, "{{ lr }}"),
        LR,
        maximize="accuracy",
        scheduler=Hyperband(max_t=9),
        searcher="random",
        seed=3,
        trials=8,
        workers=1,
    ).run()

    statuses = sweep.trials.status
    assert {"stopped", "completed"} == set(statuses)
    assert (sweep.trials.steps[statuses == "stopped"] < 9).all()


def test_rerun_shows_the_command_and_what_it_prints(capfd):
    command = script(
        "import sys, nbtune\nnbtune.report(epoch=1, loss=float(sys.argv[1]))\n"
        "print('{\"loss\": 2}')\nsys.stderr.write('warned')",
        "{{ lr }}",
    )
    sweep = Sweep(command, LR, minimize="loss", trials=1, workers=1).run()
    capfd.readouterr()

    returned = sweep.rerun({"lr": 0.05})

    shown = capfd.readouterr()
    assert returned == {"loss": 2.0}
    assert shown.out.splitlines()[0].endswith(" 0.05")
    assert shown.out.splitlines()[1:] == ["epoch 1  loss 0.05", '{"loss": 2}']
    assert shown.err == "warned"


@pytest.mark.parametrize(
    ("line", "left"), [("true", []), ("touch {{ trial.dir }}/model", ["model"])]
)
def test_a_rerun_leaves_a_folder_only_with_something_in_it(tmp_path, monkeypatch, line, left):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    Command(line).objective(LR).call({"lr": 0.05})

    assert [path.name for path in tmp_path.glob("nbtune-trial-*/*")] == left
    assert len(list(tmp_path.glob("nbtune-trial-*"))) == len(left)


def test_an_interrupted_rerun_leaves_no_process(home):
    script(STUBBORN)
    (home / "again.py").write_text(
        "import sys\n"
        "from nbtune import Command, Real\n"
        "call = Command([sys.executable, 'train.py']).objective({'lr': Real(0.0, 1.0)}).call\n"
        "call({'lr': 0.5})\n"
    )
    process = subprocess.Popen([PYTHON, "again.py"], cwd=home, stderr=subprocess.PIPE)
    pids = pids_of(home / "pids")

    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)

    assert b"KeyboardInterrupt" in said
    assert_gone(pids)


def test_another_process_goes_on_with_a_sweep_of_a_command(home):
    command = script(
        "import sys, nbtune\nnbtune.report(epoch=1, loss=float(sys.argv[1]))", "{{lr}}"
    )
    Sweep(command, LR, minimize="loss", trials=2, workers=1, name="first").run()
    (home / "elsewhere").mkdir()

    subprocess.run(
        [PYTHON, "-c", "import nbtune; nbtune.load('first').resume(trials=4).wait()"],
        cwd=home / "elsewhere",
        check=True,
    )

    assert list(nbtune.load("first").trials.status) == ["completed"] * 4


def test_resume_takes_another_command_with_the_same_space():
    Sweep(lines('{"loss": 1}'), LR, minimize="loss", trials=1, workers=1, name="first").run()

    sweep = nbtune.load("first").resume(objective=Command('echo {\\"loss\\": 0}'), trials=2)

    assert sweep.wait(PATIENCE)
    assert list(sweep.trials["metrics.loss"]) == [1.0, 0.0]


def test_its_call_is_plain_data():
    import pickle

    call = Command("true --lr={{ lr }}", env={"A": "b"}).objective(LR).call

    assert isinstance(pickle.loads(pickle.dumps(call)), Call)


# --- mistakes


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("true {{ lrr }}", r"\{\{ lrr \}\} in '\{\{ lrr \}\}': unknown name. Did you mean 'lr'"),
        ("true {{ trial.folder }}", "unknown name. Did you mean .*trial.dir"),
        ("true {{ lr", "is not closed"),
        ("true {{ }}", "no name in"),
        ("true 'open", "cannot be split into arguments: No closing quotation"),
        ("", "names no program"),
        (["true", 3], "got 3 in"),
        (7, "got 7 in 7"),
        ("nowhere-to-be-found {{ lr }}", "'nowhere-to-be-found': there is no such program"),
        ("true {{ momentum }}", "lr: it is searched, and the command does not use it"),
    ],
)
def test_a_mistake_in_the_line_is_one_error_before_anything_starts(line, message):
    space = {**LR, "momentum": Real(0.0, 1.0)} if "momentum" in str(line) else LR

    with pytest.raises(SpecError, match=message):
        Sweep(Command(line), space, maximize="accuracy", trials=1)


def test_params_that_no_template_uses_are_fine_when_none_is_used():
    assert Command("true {{ trial.dir }}").objective(LR).space.n_dims == 1


def test_a_param_of_a_branch_needs_an_argument_that_can_be_left_out():
    with pytest.raises(SpecError, match=r"--name=\{\{ model.depth \}\}, which is left out"):
        Command("true {{ model.penalty }}x {{ model.depth }}").objective(NESTED)


@pytest.mark.parametrize(
    ("space", "error", "message"),
    [
        (None, SpecError, "a command needs a space, got none"),
        ({"lr": 3}, ObjectiveError, "nothing to search"),
        ({"act": Choice(max, min)}, SpaceError, "act: got <built-in function max>"),
        ({"act": Choice("a\0b", "c")}, SpaceError, "no text with a NUL"),
    ],
)
def test_a_space_that_does_not_suit_a_command_is_refused(space, error, message):
    with pytest.raises(error, match=message):
        Command("true").objective(space)


@pytest.mark.parametrize("env", [{"A": 1}, {"A=B": "c"}, ["A"]])
def test_an_environment_is_text_by_names(env):
    with pytest.raises(SpecError, match="env"):
        Command("true", env=env)


def test_a_list_is_no_line_for_a_shell():
    with pytest.raises(SpecError, match="shell=True takes one string"):
        Command(["true"], shell=True)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("python train.py --lr={{ lr }}", "train"),
        ("python -m pkg.fit {{ lr }}", "fit"),
        ("./bin/simulate {{ lr }}", "simulate"),
        ("{{ lr }}", "command"),
    ],
)
def test_a_sweep_is_called_after_the_script(line, name):
    assert Command(line).name == name
