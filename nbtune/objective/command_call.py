"""A command as a worker calls it: its words filled in, its environment, its output, its exit code.

Kept free of the space, as `call` is.
"""

import codecs
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from nbtune.context import SCRIPT_VARIABLE, CurrentTrial, Reporter, active_reporter, alone
from nbtune.exceptions import TrialError
from nbtune.objective.call import Call, Sources
from nbtune.objective.child import Child
from nbtune.objective.desk import Desk
from nbtune.objective.printed import Lines, Printed
from nbtune.objective.template import Template, Values, as_json
from nbtune.trial import Params

__all__ = ["PYTHONS", "CommandCall", "search_path"]

PYTHONS = "python", "python3"
"""Programs that are the Python of the process which runs the trial, whatever PATH says."""

_PARAMS_FILE = "params.json"
_KEPT = 16 * 1024  # bytes of output that an error may show
_SHOWN_LINES = 40
_LONGEST_LAST_LINE = 200


class CommandCall(Call):
    """Runs a command once a trial, in a process group of its own.

    Parameters
    ----------
    words : sequence of Template
        The program and its arguments; a shell's one line where `shell`.
    environment : dict of str to Template
        What the command's environment has on top of the worker's.
    base : str
        The folder where it runs.
    folder : Template or None
        Another, from there.
    shell : bool
    """

    sources = Sources(lines={}, titles={})
    advice = "Give plain text."

    def __init__(
        self,
        words: Sequence[Template],
        environment: Mapping[str, Template],
        *,
        base: str,
        folder: Template | None,
        shell: bool,
    ) -> None:
        self._words = list(words)
        self._environment = dict(environment)
        self._base = base
        self._folder = folder
        self._shell = shell

    @staticmethod
    def how_to_report(step: str, metric: str) -> str:
        """Return what to write so that the sweep gets a metric."""
        line = f'{{"{step}": 1, "{metric}": 0.5}}'
        return (
            f"Print a line of JSON for each report, such as {line}, or call nbtune.report in a "
            "Python script."
        )

    def parts(self) -> Mapping[str, Any]:
        """Return what is sent to a worker."""
        return {"the command": self._words, "env": self._environment, "cwd": self._folder}

    def __call__(self, params: Params) -> dict[str, float] | None:
        """Run the command; return the metrics that it printed as its result, None without.

        Outside a sweep its output is shown, and ``trial.dir`` is a new temporary folder, which
        stays if the command writes to it.

        Raises
        ------
        TrialError
            When it cannot be started, exits with another code than 0, or is killed.
        """
        reporter = active_reporter()
        if reporter is not None:
            return self._run(params, reporter.trial, reporter)
        with alone(params) as trial:
            try:
                return self._run(params, replace(trial, number=-1), None)  # None is no argument
            finally:
                (trial.dir / _PARAMS_FILE).unlink(missing_ok=True)

    def _run(
        self, params: Params, trial: CurrentTrial, reporter: Reporter | None
    ) -> dict[str, float] | None:
        trial = replace(trial, dir=trial.dir.absolute())  # it runs in a folder of its own
        trial.dir.mkdir(parents=True, exist_ok=True)
        (trial.dir / _PARAMS_FILE).write_text(as_json(params), encoding="utf-8")
        words = self._filled(params, trial)
        with _output(trial, shown=reporter is None) as output:
            output.note(f"$ {words[-1] if self._shell else shlex.join(words)}")
            printed = Printed(reporter, lambda text: output.note(f"nbtune: {text}"))
            output.hear = printed.hear
            desk = Desk(reporter, printed) if reporter else None
            with closing(desk) if desk else nullcontext():
                child = self._started(words, params, trial, output, desk)
                code = child.run(reporter, desk)
            output.end()
        if code != 0:
            raise _failure(_cause(code), trial, output.last_lines())
        return printed.result

    def _filled(self, params: Params, trial: CurrentTrial) -> list[str]:
        """Return the words with values in place; without those that have nothing to say."""
        if self._shell:
            values = Values(params=params, trial=trial, quote=shlex.quote)
            return ["/bin/sh", "-c", *(word.fill(values) or "" for word in self._words)]
        values = Values(params=params, trial=trial)
        words: list[str] = []
        for template in self._words:
            word = template.fill(values)
            # An empty value alone is no argument, but may be what the option before it takes.
            if word or (word == "" and not (template.is_bare and _takes_none(words))):
                words.append(word)
        if words[:1] and words[0] in PYTHONS and "PATH" not in self._environment:
            words[0] = sys.executable
        return words

    def _started(
        self,
        words: list[str],
        params: Params,
        trial: CurrentTrial,
        output: "_Output",
        desk: Desk | None,
    ) -> Child:
        folder = self._base
        if self._folder is not None:
            inner = self._folder.fill(Values(params=params, trial=trial))
            folder = str(Path(folder, inner or ""))
        if not Path(folder).is_dir():
            raise _failure(f"cannot run in cwd={folder!r}: there is no such folder", trial)
        try:
            return Child(
                words,
                environment=self._variables(params, trial, desk),
                folder=folder,
                hear=(output.take, output.take_error),
            )
        except FileNotFoundError:
            raise _failure(f"{words[0]!r} was not found", trial) from None
        except (OSError, ValueError) as error:  # a NUL, arguments too long, no permission
            raise _failure(f"could not be started: {error}", trial) from error

    def _variables(self, params: Params, trial: CurrentTrial, desk: Desk | None) -> dict[str, str]:
        given = {
            name: text
            for name, template in self._environment.items()
            if (text := template.fill(Values(params=params, trial=trial))) is not None
        }
        # Python would keep what a script prints until it ends.
        variables = {"PYTHONUNBUFFERED": "1", **os.environ, "PATH": search_path(), **given}
        variables.pop(SCRIPT_VARIABLE, None)
        variables |= {
            "NBTUNE_PARAMS": as_json(params),
            "NBTUNE_TRIAL_DIR": str(trial.dir),
            "NBTUNE_TRIAL_NUMBER": str(trial.number),
            "NBTUNE_TRIAL_SEED": str(trial.seed),
        }
        return variables if desk is None else {**variables, SCRIPT_VARIABLE: desk.address}


class _Output:
    """Passes a command's output on as it comes, and keeps the end of it."""

    def __init__(
        self, write: Callable[[bytes], None], write_error: Callable[[bytes], None]
    ) -> None:
        self._write = write
        self._write_error = write_error
        self._lines = Lines()
        self._kept = b""
        self._kept_error = b""
        self.hear: Callable[[bytes], None] = lambda _line: None

    def take(self, chunk: bytes) -> None:
        """Take bytes of stdout."""
        self._write(chunk)
        self._kept = (self._kept + chunk)[-_KEPT:]
        for line in self._lines.cut(chunk):
            self.hear(line)

    def take_error(self, chunk: bytes) -> None:
        """Take bytes of stderr."""
        self._write_error(chunk)
        self._kept_error = (self._kept_error + chunk)[-_KEPT:]

    def note(self, text: str) -> None:
        """Write a line of our own."""
        self._write(f"{text}\n".encode(errors="backslashreplace"))

    def end(self) -> None:
        """Hear a last line that has no end."""
        for line in self._lines.rest():
            self.hear(line)

    def last_lines(self) -> list[str]:
        """Return the last lines of stderr, of stdout where nothing came on stderr."""
        text = (self._kept_error.strip() or self._kept.strip()).decode(errors="replace")
        return text.splitlines()[-_SHOWN_LINES:]


@contextmanager
def _output(trial: CurrentTrial, *, shown: bool) -> Iterator[_Output]:
    if shown:
        yield _Output(_shower(sys.stdout), _shower(sys.stderr))
        return
    with (trial.dir / "log.txt").open("ab", buffering=0) as log:

        def write(chunk: bytes) -> None:
            rest = memoryview(chunk)
            while rest:
                rest = rest[log.write(rest) :]

        yield _Output(write, write)


def _shower(stream: TextIO) -> Callable[[bytes], None]:
    decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode

    def show(chunk: bytes) -> None:
        stream.write(decode(chunk))
        stream.flush()

    return show


def search_path() -> str:
    """Return where a command finds programs: beside this Python first, as where it is activated."""
    known = os.environ.get("PATH", os.defpath)
    mine = Path(sys.executable)
    if not sys.executable or shutil.which(mine.name, path=known) == str(mine):
        return known
    return os.pathsep.join([str(mine.parent), known])


def _takes_none(words: Sequence[str]) -> bool:
    """Whether the last word is not an option that takes the next one as its value."""
    return not words or not words[-1].startswith("-") or "=" in words[-1]


def _failure(what: str, trial: CurrentTrial, last_lines: Sequence[str] = ()) -> TrialError:
    said = f": {last_lines[-1].strip()[:_LONGEST_LAST_LINE]}" if last_lines else ""
    number = -1 if trial.number is None else trial.number
    return TrialError(f"the command {what}{said}", number, trial.params, "\n".join(last_lines))


def _cause(code: int) -> str:
    if code > 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}" + " (out of memory?)" * (-code == signal.SIGKILL)
