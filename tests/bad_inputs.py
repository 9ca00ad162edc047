"""The table of bad input: what no part of the public API, and no magic, may accept.

Most of it is generated from signatures: every value of `VALUES` that a parameter's annotation
does not admit must be refused. What an annotation cannot say, a range or the words that are known,
is listed by hand in ``bad``. A parameter of which neither says anything has to be in ``free``, with
the reason why it takes anything.
"""

import collections.abc
import contextlib
import inspect
import io
import math
import os
import re
import shutil
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from shells import ipython

import nbtune
from nbtune import NbtuneError, Real, Space, Sweep, schedulers, searchers, stopping, workers
from nbtune.magics.options import function_parser

nan, inf = math.nan, math.inf


class Thing:
    """An object of which nothing knows what it is."""

    def __repr__(self):
        return "<a thing>"


HUGE = 10**400  # has no float and no place in SQLite
LONG = "x" * 300
VALUES = [
    *(None, True, -1, 0.5, nan, inf, -inf, HUGE, 1j, "nonsense", "3", "", b"x"),
    *([], [nan], {}, {1}, Thing(), int, lambda: 0),
]


@dataclass(frozen=True, kw_only=True)
class Api:
    """One public callable: how it is called, and what it must refuse.

    ``call`` takes the `World` and the arguments by name; ``good`` are arguments that it accepts;
    ``fine`` are values that it accepts though the annotation does not tell.
    """

    name: str
    of: Callable[..., Any]
    call: Callable[..., Any]
    good: Mapping[str, Any] = field(default_factory=dict)
    bad: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    fine: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    free: Mapping[str, str] = field(default_factory=dict)

    @property
    def parameters(self) -> list[inspect.Parameter]:
        found = inspect.signature(self.of).parameters.values()
        return [parameter for parameter in found if parameter.name != "self"]

    def values(self, parameter: inspect.Parameter) -> list[Any]:
        """Return what `parameter` must refuse."""
        hand = list(self.bad.get(parameter.name, ()))
        if parameter.name in self.free:
            return hand
        kinds = (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if parameter.kind in kinds or admits(parameter.annotation, Thing()):
            return hand  # says nothing
        fine = [repr(value) for value in self.fine.get(parameter.name, ())]
        return hand + [
            value
            for value in VALUES
            if not admits(parameter.annotation, value) and repr(value) not in fine
        ]


def admits(annotation: Any, value: Any) -> bool:
    """Return whether `value` is of the type that is annotated; NaN and infinity are no numbers."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    says_nothing = (Any, object, inspect.Parameter.empty)
    if isinstance(annotation, str | typing.TypeVar) or annotation in says_nothing:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(admits(one, value) for one in arguments)
    if origin is typing.Literal:
        return value in arguments
    if annotation in (None, types.NoneType):
        return value is None
    return _is_of(origin or annotation, value)


def _is_of(kind: Any, value: Any) -> bool:
    if kind in (int, float):
        is_number = isinstance(value, int | kind) and not isinstance(value, bool)
        return is_number and value != HUGE and math.isfinite(value)
    if kind is collections.abc.Callable:
        return callable(value)
    if kind in (Path, os.PathLike):
        return isinstance(value, str | os.PathLike)
    if kind in (collections.abc.Sequence, collections.abc.Iterable, list, tuple):
        return isinstance(value, list | tuple) and not value
    return isinstance(value, kind)


def train(x: Real(0, 1), k=3):
    return {"loss": x}


def sized(x: Real(0, 1)):
    return {"loss": x, "size": 1 - x}


class World:
    """Where the calls are made: a store with a sweep that has ended, and a notebook."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        self._closing = contextlib.ExitStack()

    @cached_property
    def sweep(self) -> Sweep:
        options = {"minimize": "loss", "trials": 3, "searcher": "random", "store": self.store}
        options["progress"] = False
        return Sweep(train, **options, name="ended", workers=workers.Inline()).run()

    @cached_property
    def front(self) -> Sweep:
        options = {"minimize": ["loss", "size"], "trials": 3, "searcher": "random"}
        options["progress"] = False
        done = Sweep(sized, **options, store=self.store, workers=workers.Inline())
        return done.run()

    def new(self, **changes: Any) -> Sweep:
        options: dict[str, Any] = {"minimize": "loss", "trials": 2, "searcher": "random"}
        options |= {"store": self.folder / "new", "workers": workers.Inline()}
        objective = changes.pop("objective", train)
        space = changes.pop("space", None)
        return Sweep(objective, space, **{**options, **changes})

    @cached_property
    def shell(self) -> InteractiveShell:
        os.environ["NBTUNE_STORE"] = str(self.folder / "shell")
        shell = self._closing.enter_context(ipython())
        shell.run_line_magic("load_ext", "nbtune")
        shell.user_ns["train"] = train
        options = "--minimize loss --trials 2 --searcher random --workers 1 --quiet --wait"
        shell.user_ns["Inline"] = workers.Inline
        shell.run_line_magic("tune", f"train --name ended {options}")
        return shell

    def tune(self, line: str, cell: str | None) -> Any:
        """Run a magic's line, over `cell` where there is one."""
        with contextlib.redirect_stdout(io.StringIO()):
            if cell is None:
                return self.shell.run_line_magic("tune", line)
            return self.shell.run_cell_magic("tune", line, cell)

    def close(self) -> None:
        if "shell" in self.__dict__:
            for value in list(self.shell.user_ns.values()):
                if isinstance(value, Sweep) and value.running_here:
                    value.stop()
                    value.wait(20)
            os.environ.pop("NBTUNE_STORE", None)
        self._closing.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def plain(of: Callable[..., Any], **rest: Any) -> Api:
    """Return the entry of a class or function that is called as it stands."""
    return Api(name=of.__qualname__, of=of, call=lambda world, **given: of(**given), **rest)


def of_sweep(name: str, **rest: Any) -> Api:
    """Return the entry of a method of a sweep that has ended."""
    return Api(
        name=f"Sweep.{name}",
        of=getattr(Sweep, name),
        call=lambda world, **given: getattr(world.sweep, name)(**given),
        **rest,
    )


def star(of: Callable[..., Any], rest_name: str, **rest: Any) -> Api:
    """Return the entry of a callable that takes ``*rest_name`` or ``**rest_name``."""
    kind = inspect.signature(of).parameters[rest_name].kind

    def call(world: World, **given: Any) -> Any:
        more = given.pop(rest_name)
        if kind is inspect.Parameter.VAR_POSITIONAL:
            return of(*more, **given)
        return of(**given, **more)

    return Api(name=of.__qualname__, of=of, call=call, **rest)


SPACE = Space({"x": Real(0, 1), "k": 3})
FLAG = ["yes", "no", 1, 0, None, nan]
TOO_LOW = [0, -1, 10**30]
NEGATIVE = [-1, -(10**30)]
NAME = ["", "a b", "a/b", "../a", LONG, "-a", ".a", "ü"]
STEP = ["class", "a b", "", "1st"]
METRIC = ["", [], ["loss", "loss"], ["a", 3], [""], {"loss": 1}]
RULES = {"grace_period": TOO_LOW, "interval": TOO_LOW, "min_samples": TOO_LOW}
SHARE = [-0.1, 100, 1e9]
POSITIVE = [0, -1, -0.5]


def nested(depth: int) -> Space:
    space = Space({"x": Real(0, 1)})
    for _ in range(depth - 1):
        space = Space({"a": space})
    return space


SHARE = [-0.1, 100, 1e9]
POSITIVE = [0, -1, -0.5]


class Nested(dict):
    """Spaces in spaces, deeper than Python's own repr can follow."""

    def __init__(self, depth: int) -> None:
        space: dict[str, Any] = {"x": Real(0, 1)}
        for _ in range(depth):
            space = {"a": Space(space)}
        super().__init__(space)

    def __repr__(self) -> str:
        return "{'a': ...}"


APIS = [
    # --- domains
    plain(
        nbtune.Real,
        good={"low": 0.1, "high": 1.0},
        bad={
            "low": [1.0, 2.0],
            "high": [0.1, 0.0],
            "step": [0, -0.1, 5.0, 1e-300],
            "log": ["yes", 1, None],
            "rounded": [True],  # without a step
        },
    ),
    plain(
        nbtune.Int,
        good={"low": 1, "high": 9},
        bad={"low": [9, 10, 1.5], "high": [1, 0, 1.5, 2**70], "step": [0, -1, 100, 1.5]},
    ),
    star(
        nbtune.Choice,
        "options",
        good={"options": ["a", "b"]},
        bad={
            "options": [[], ["a", "a"], [Real(0, 1)], [Space({"x": 1}), Space({"x": 1})]],
            "weights": [[1], [1, 2, 3], [0, 0], [-1, 2], [nan, 1], [inf, 1], ["a", "b"], "ab"],
        },
    ),
    plain(
        nbtune.Normal,
        good={"mean": 0.0, "std": 1.0},
        bad={"std": POSITIVE, "step": POSITIVE, "mean": [1e308]},
    ),
    plain(
        nbtune.LogNormal,
        good={"mean": 0.0, "std": 1.0},
        bad={"std": POSITIVE, "step": POSITIVE, "mean": [1e5]},
    ),
    plain(
        nbtune.Range,
        good={"start": 1, "stop": 9},
        bad={
            "start": ["1:x", "a", "", "1:2:0"],
            "stop": [],
            "step": [0, -1],
            "num": [-1, 10**30],
            "log": FLAG[:2],
        },
        fine={"step": [HUGE]},
    ),
    plain(
        nbtune.Space,
        good={"domains": {"x": Real(0, 1)}},
        bad={"domains": [{3: Real(0, 1)}, {"": Real(0, 1)}, {"x": Real}, {None: 1}]},
    ),
    Api(
        name="nested Space",
        of=lambda deep: None,
        call=lambda world, deep: nested(deep),
        bad={"deep": [51, 2000]},
    ),
    Api(
        name="Space.sample",
        of=Space.sample,
        call=lambda world, **given: SPACE.sample(**given),
        bad={"seed": NEGATIVE},
        fine={"seed": [HUGE]},
    ),
    Api(
        name="Space.validate",
        of=Space.validate,
        call=lambda world, **given: SPACE.validate(**given),
        good={"params": {"x": 0.5, "k": 3}},
        bad={"params": [{"x": 2}, {"x": 0.5, "k": 4}, {"x": nan, "k": 3}, {"y": 1}]},
        free={"name": "ours: where the params stand, for messages"},
    ),
    Api(
        name="Space.narrow",
        of=Space.narrow,
        call=lambda world, **given: SPACE.narrow(**given),
        bad={"domains": [{"x": Real(0, 2)}, {"y": Real(0, 1)}, {"x": 5}, {3: 1}]},
    ),
    Api(
        name="Space.from_matrix",
        of=Space.from_matrix,
        call=lambda world, **given: Space.from_matrix(**given),
        good={"params": {}},
        bad={
            "params": [
                {"x": {"kind": "choise", "value": [1]}},
                {"x": {"kind": "uniform", "value": [1]}},
                {"x": {"kind": "uniform", "value": nan}},
                {"x": {"kind": "choice", "value": []}},
                {"x": {"kind": "uniform"}},
                {"x": {"kind": 3, "value": [1, 2]}},
                {3: 1},
            ]
        },
        free={"path": "ours: where the params stand, for messages"},
    ),
    Api(
        name="tunable",
        of=nbtune.tunable,
        call=lambda world, misused, declared: nbtune.tunable(*misused, **declared)(train),
        good={"misused": (), "declared": {"x": Real(0, 1)}},
        bad={
            "declared": [{"unknown": Real(0, 1)}, {"x": Real}],
            "misused": [(train,), (Real(0, 1),), (3,)],
        },
    ),
    # --- searchers
    plain(searchers.Random, bad={"sequence": ["nonsense", "Sobol ", ""]}),
    plain(searchers.Grid, bad={"repeat": TOO_LOW}),
    plain(searchers.Chain),
    plain(searchers.Points, bad={"params": ["abc", [3], {"x": 1}, [None], 3, None, nan]}),
    plain(
        searchers.Bayes,
        bad={
            "n_initial": NEGATIVE,
            "sequence": ["nonsense", ""],
            "base_estimator": ["nonsense", None, 3, nan, Thing(), ""],
            "acquisition": ["nonsense", ""],
            "xi": [-0.1],
            "kappa": [-0.1],
            "searcher_data": ["nonsense", ""],
            "prefetch": NEGATIVE,
        },
    ),
    star(
        searchers.Iterative,
        "tuner_params",
        good={"tuner": lambda params: [], "iterations": 2, "tuner_params": {}},
        bad={
            "tuner": [3, "nonsense", "", None, Thing(), lambda wrong: []],
            "iterations": TOO_LOW,
            "tuner_params": [{"unknown": 3}],
        },
    ),
    star(
        searchers.OptunaSearcher,
        "options",
        good={"options": {}},
        bad={
            "sampler": ["nonsense", "", 3, None, nan, Thing(), int],
            "options": [{"unknown": 3}],
        },
    ),
    plain(
        searchers.Reinforce,
        bad={
            "learning_rate": POSITIVE,
            "batch": TOO_LOW,
            "baseline_decay": [-0.1, 1.5],
            "entropy": [-0.1],
            "elite": NEGATIVE,
            "quantiles": TOO_LOW,
            "width": TOO_LOW,
        },
    ),
    plain(searchers.Scalarised, good={"searcher": searchers.Random()}),
    # --- schedulers
    plain(schedulers.AverageRule, bad=RULES),
    plain(schedulers.MedianRule, bad=RULES),
    plain(schedulers.DiffRule, bad={**RULES, "share": SHARE}),
    plain(schedulers.TruncationRule, bad={**RULES, "share": SHARE}),
    plain(
        schedulers.Hyperband,
        bad={
            "max_t": TOO_LOW,
            "grace_period": TOO_LOW,
            "reduction_factor": [1, *TOO_LOW],
            "brackets": TOO_LOW,
            "type": ["nonsense", ""],
        },
    ),
    star(
        schedulers.OptunaPruner,
        "options",
        good={"options": {}},
        bad={
            "pruner": ["nonsense", "", 3, None, nan, Thing(), int],
            "options": [{"unknown": 3}],
            "grace_period": TOO_LOW,
        },
    ),
    plain(
        schedulers.Patience,
        bad={"steps": TOO_LOW, "min_delta": [-0.1], "grace_period": TOO_LOW},
    ),
    plain(
        schedulers.SyncHyperband,
        bad={"max_t": TOO_LOW, "reduction_factor": [1, *TOO_LOW], "rounds": TOO_LOW},
    ),
    # --- rules that end a sweep
    plain(
        stopping.FailureRate,
        good={"share": 0.5},
        bad={"share": [0, -0.1, 50], "min_trials": TOO_LOW},
    ),
    plain(
        stopping.MetricThreshold,
        good={"metric": "loss", "value": 0.5},
        bad={"metric": [""], "direction": ["up", ""]},
    ),
    plain(
        stopping.Plateau,
        good={"trials": 3},
        bad={"trials": [None, *TOO_LOW], "seconds": POSITIVE, "min_delta": [-0.1]},
    ),
    # --- workers
    plain(
        workers.Local,
        good={"slots": 1},
        bad={
            "slots": [*TOO_LOW, 10**6],
            "cpus": [*TOO_LOW, 10**6],
            "gpus": [-1, 10**6],
            "memory": ["nonsense", "", "2 XB", "-2 GB", 0, -1],
        },
    ),
    plain(workers.Inline, bad={"slots": [*TOO_LOW, 10**6]}),
    plain(workers.Simulated, bad={"slots": TOO_LOW, "seconds": [-1]}),
    plain(
        workers.Dask,
        good={"cluster": "tcp://127.0.0.1:1"},
        bad={
            "cluster": ["nonsense", "", 3, None, nan, Thing(), [], int],
            "slots": TOO_LOW,
            "slots_per_worker": TOO_LOW,
            "cpus": TOO_LOW,
            "gpus": [-1],
        },
    ),
    # --- objectives
    plain(
        nbtune.Command,
        good={"line": "python train.py --lr={{ lr }}"},
        bad={
            "line": ["", [], ["a", 3], "python 'open", "python {{ lr", [""], "   "],
            "env": [{3: "a"}, {"A": 3}, {"": "a"}, {"A=B": "a"}, {"A": None}],
            "cwd": [""],
        },
    ),
    plain(nbtune.Every, good={"seconds": 1, "function": print}, bad={"seconds": POSITIVE}),
    Api(
        name="report",
        of=nbtune.report,
        call=lambda world, metrics, **given: nbtune.report(**given, **metrics),
        good={"metrics": {"loss": 1.0}},
        bad={"metrics": [{"loss": value} for value in ("x", None, [1], 1j, Thing(), {})]},
    ),
    # --- afterwards
    Api(
        name="load",
        of=nbtune.load,
        call=lambda world, **given: nbtune.load(**{"store": world.store, **given}),
        good={"name": "nothing"},
        bad={"name": ["", "nothing", "../ended", LONG]},
    ),
    plain(nbtune.sweeps),
    plain(
        nbtune.replay,
        good={"table": {0: [1.0, 0.5], 1: [2.0, 1.0]}, "minimize": "loss"},
        bad={
            "table": [{}, [], 3, None, "x", {0: ["a"]}, Thing(), {0: 3}, {0: []}],
            "maximize": ["", "loss"],
            "minimize": METRIC,
            "by": ["nonsense", ""],
            "scheduler": ["nonsense", "", int],
            "workers": TOO_LOW,
            "seconds": ["x", -1, nan, inf, Thing(), {0: [1]}],
            "step": STEP,
            "seed": [-1, 2**63, 10**30],
        },
    ),
    # --- a sweep
    Api(
        name="Sweep",
        of=Sweep,
        call=lambda world, **given: world.new(**given),
        bad={
            "objective": [3, "train", Thing(), lambda: 0, lambda x: 0, int, [], nan],
            "space": [{"x": "a"}, {3: Real(0, 1)}, {"": 1}, {"unknown": Real(0, 1)}],
            "maximize": [*METRIC, "loss"],
            "minimize": METRIC,
            "by": ["nonsense", ""],
            "at_time_limit": ["nonsense", ""],
            "searcher": ["nonsense", "", int],
            "scheduler": ["nonsense", "", int],
            "step": [*STEP, "loss"],
            "trials": TOO_LOW,
            "time_limit": POSITIVE,
            "trial_time_limit": POSITIVE,
            "compute_time_limit": POSITIVE,
            "max_total_steps": TOO_LOW,
            "trial_max_steps": TOO_LOW,
            "retries": [-1, 10**30],
            "stop_when": ["loss<1", [3], 3, stopping.Plateau, [None], nan],
            "workers": [0, -1, 10**6, 10**30, 1.5, True, nan, "x", "", Thing(), [], int, b"x"],
            "memory": ["nonsense", "", "2 XB", 0, -1],
            "name": NAME,
            "seed": [-1, 2**63, 10**30],
            "warm_start": [3, "unknown", [3], Thing(), nan, train],
            "callbacks": ["print", [3], ["print"], [None], print],
        },
    ),
    of_sweep("apply", bad={"params": [{"x": 2}, {"y": 1}, {"x": nan}, {"x": "a"}]}),
    Api(
        name="Sweep.edit",
        of=Sweep.edit,
        call=lambda world, changes: world.sweep.edit(**changes),
        bad={
            "changes": [
                {"x": nan},
                {"x": inf},
                {"y": Real(0, 1)},
                {"x": "a"},
                {"x": Real},
                {"x": None},
            ]
        },
    ),
    of_sweep("enqueue", bad={"params": [{"x": 2}, {"y": 1}, {"x": nan}, {"x": "a"}, {3: 1}]}),
    of_sweep("explain", bad={"trial": [99, -1, 10**30]}),
    Api(
        name="Sweep.from_state_dict",
        of=Sweep.from_state_dict,
        call=lambda world, **given: Sweep.from_state_dict(
            **{"state": world.sweep.state_dict(), "store": world.folder / "moved", **given}
        ),
        bad={"state": [{}, {"version": 99}, {"name": "x"}], "name": NAME},
    ),
    of_sweep("hypervolume", bad={"reference": [{}, {"loss": nan}, {"acc": 1}, {"loss": "x"}]}),
    of_sweep("kill", bad={"trial": [99, -1, 10**30]}),
    of_sweep("replay", bad={"scheduler": ["nonsense", "", int], "workers": TOO_LOW}),
    Api(
        name="Sweep.rerun",
        of=Sweep.rerun,
        call=lambda world, changes=(), **given: world.sweep.rerun(**given, **dict(changes)),
        bad={
            "params": [{"x": 2}, {"y": 1}, {"x": nan}, {"x": "a"}],
            "changes": [{"x": 2}, {"y": 1}, {"x": nan}, {"x": "a"}],
        },
    ),
    of_sweep("stop"),
    Api(
        name="Sweep.resume",
        of=Sweep.resume,
        call=lambda world, kept=(), **given: world.sweep.resume(**given, **dict(kept)),
        bad={
            "objective": [3, "train", Thing(), lambda y: 0],
            "trials": TOO_LOW,
            "time_limit": POSITIVE,
            "at_time_limit": ["nonsense", ""],
            "stop_when": ["loss<1", [3]],
            "workers": [0, -1, 10**6, 1.5, True, nan, "x", Thing()],
            "searcher": ["nonsense", "", int],
            "kept": [{"unknown": 3}, {"scheduler": "hyperband"}, {"seed": -5}],
        },
    ),
    plain(nbtune.per_worker),
    of_sweep("subscribe"),
    of_sweep("while_waiting"),
    of_sweep("top", bad={"k": [-1, 10**30]}),
    of_sweep("trial", bad={"number": [99, -1, 10**30]}),
    of_sweep("wait", bad={"timeout": [-1]}),
    Api(
        name="sweep.plot.parallel",
        of=lambda params: None,
        call=lambda world, **given: world.sweep.plot.parallel(**given),
        bad={"params": [3, "x", ["unknown"], [3], [], nan, Thing()]},
    ),
    Api(
        name="sweep.plot.pareto",
        of=lambda x, y: None,
        call=lambda world, **given: world.front.plot.pareto(**{"x": "loss", "y": "size", **given}),
        bad={"x": ["unknown", 3], "y": ["unknown", 3]},
    ),
    Api(
        name="sweep.selected",
        of=lambda numbers: None,
        call=lambda world, numbers: setattr(world.sweep, "selected", numbers),
        bad={"numbers": [3, "x", [99], [-1], ["a"], nan, [0.5], [True]]},
    ),
    Api(
        name="sweep.space",
        of=lambda space: None,
        call=lambda world, space: setattr(world.sweep, "space", space),
        bad={"space": [3, None, {"y": Real(0, 1)}, {"x": nan}, [], "x", Thing()]},
    ),
]

EXEMPT = {
    "Bool": "takes no arguments",
    "FIFO": "takes no arguments",
    "Searcher": "for others to subclass",
    "Scheduler": "for others to subclass",
    "StopRule": "for others to subclass",
    "Workers": "for others to subclass",
    "Explanation": "a result",
    "RungRow": "a result",
    "Trial": "a result",
    "current_trial": "takes no arguments",
    "load_checkpoint": "any default will do",
    "save_checkpoint": "any state will do; what cannot be pickled fails the trial by name",
    "build": "behind the arguments searcher= and scheduler=",
    "searcher_for": "ours",
    "StepCap": "behind the argument trial_max_steps=",
    "Sweep.stored": "ours",
}


def public() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield each public callable by its name: those of the packages, the methods of a sweep."""
    for module in (nbtune, searchers, schedulers, stopping, workers):
        for name in module.__all__:
            found = getattr(module, name)
            is_error = inspect.isclass(found) and issubclass(found, Exception | Warning)
            if callable(found) and not is_error:
                yield name, found
    for name, method in inspect.getmembers(Sweep, callable):
        if not name.startswith("_") and [*inspect.signature(method).parameters] != ["self"]:
            yield f"Sweep.{name}", method


# --- magics

LINE = "--minimize loss --trials 2 --searcher random --workers 1 --quiet"
CELL = "x: Real(0, 1) = 0.5\nreport(loss=x)"
NUMBERS = ["x", "1.5", "nan", "inf", "-1", "''", "1e3", "True", "10" * 40]
TIMES = ["x", "-1", "0", "nan", "inf", "''", "1y", "1h1h"]
OPTIONS: dict[str, list[str]] = {
    "--by": ["first", "''", "LAST"],
    "--at-time-limit": ["wait", "''", "STOP"],
    "--stop-when": ["loss=1", "loss>=x", "loss>=nan", "plateau:x=3", "plateau:trials=0", "x", "''"],
    "--searcher": ["nonsense", "''", "3", "Bayes(n_initial=-1)", "Bayes(", "Random(x=1)"],
    "--scheduler": ["nonsense", "''", "3", "Hyperband(max_t=0)", "Hyperband(x=1)"],
    "--step": ["class", "'a b'", "''", "1st", "loss"],
    "--workers": ["0", "-1", "1.5", "nan", "x", "''", "1000000", "tcp:"],
    "--gpus": ["x", "-1", "nan", "inf", "''"],
    "--memory": ["x", "''", "0", "-1", "2XB", "nan"],
    "--store": ["/dev/null", "/dev/null/x"],
    "--warm-start": ["unknown", "''", ",", "a,,b"],
    "--maximize": ["''", ",", "a,,b", "loss"],
    "--minimize": ["''", ",", "a,,b", "loss,loss"],
    "--param": ["x", "x=", "=Real(0,1)", "x=Real(1,0)", "x=Real(0,1)=5", "class=Real(0,1)", "''"],
    "--command": ["''", "'python {{ x'", "'no-such-program {{ x }}'", "'python {{ y }}'"],
    "--name": ["''", "class", "'a b'", "print", "1st"],
    "--setup": ["unknown", "''", "3", "1+"],
}
"""Values that an option must refuse, by hand where its type says nothing."""

LINES: list[tuple[str, str | None]] = [
    ("", CELL),
    ("class " + LINE, CELL),
    ("'a b' " + LINE, CELL),
    ("print " + LINE, CELL),
    ("x " + LINE, CELL),
    ("mine", CELL),
    ("mine --minimize loss", CELL),
    ("mine --trials 2", CELL),
    ("mine mine " + LINE, CELL),
    ("mine --minimise loss --trials 2", CELL),
    ("mine 'open " + LINE, CELL),
    ("mine --trials {1/0} --minimize loss", CELL),
    ("mine --trials $unknown --minimize loss", CELL),
    ("mine --resume --replace " + LINE, CELL),
    ("ended " + LINE, CELL),
    ("mine " + LINE, ""),
    ("mine " + LINE, "x = 3"),
    ("mine " + LINE, "x: Real(1, 0) = 0.5"),
    ("mine " + LINE, "x: Real(0, 1) = 5"),
    ("mine " + LINE, "x: Real(0, 1) = 'a'"),
    ("mine " + LINE, "x: Real(0, 1 = 0.5"),
    ("trian " + LINE, None),
    ("3 " + LINE, None),
    ("train", None),
    ("train --trials 2", None),
    ("lst", None),
    ("show", None),
    ("show unknown", None),
    ("show ended extra", None),
    ("show ended --bogus", None),
    ("stop unknown", None),
    ("pause unknown", None),
    ("pause ended", None),
    ("resume unknown", None),
    ("wait unknown", None),
    ("apply unknown", None),
    ("apply ended --trial 99", None),
    ("apply ended --trial x", None),
    ("apply ended --trial -1", None),
    ("delete unknown", None),
    ("delete ''", None),
    ("delete ../x", None),
    ("list extra", None),
    ("mine --command 'python {{ x }}' " + LINE, None),
]
"""Whole lines that must be refused, with their cell."""


def lines() -> list[tuple[str, str | None, str]]:
    """Return each line that must be refused, its cell, and what its message must show."""
    found = [(line, cell, "") for line, cell in LINES]
    for option, action in function_parser().options.items():
        if option in ("-h", "--help"):
            continue
        for value in option_values(option, action):
            given = [word for word in LINE.split(" --") if word.split()[0] != option.strip("-")]
            rest = " --".join(given)
            rest = rest if rest.startswith("--") else f"--{rest}"
            if option in ("--param", "--command", "--name"):
                others = {"--param": "x=Real(0,1)", "--command": "'python {{ x }}'"}
                others.pop(option, None)
                rest += "".join(f" {name} {text}" for name, text in others.items())
                found.append((f"mine {rest} {option}={value}", None, value))
            else:
                found.append((f"mine {rest} {option}={value}", CELL, value))
    return found


def option_values(option: str, action: Any) -> list[str]:
    """Return the values that an option must refuse."""
    if action.nargs == 0:
        return ["yes"]
    if option in OPTIONS:
        return OPTIONS[option]
    kind = getattr(action.type, "__qualname__", "")
    if kind.startswith("whole_number"):
        return NUMBERS
    return TIMES if kind == "duration" else []


# --- judging

WORDS = (
    "add allowed at call cannot count did domain drop each empty ended exists expected from give "
    "has have keep known leave list missing must names nearest need needed needs not numbers open "
    "overflows perhaps pick raised scale see such take takes too unexpected use which wrap write"
)
WHAT_IS_ALLOWED = re.compile(rf"\b({WORDS.replace(' ', '|')})\b", re.IGNORECASE)
"""A message that says what is allowed, or what to do, has one of these words."""


@dataclass(frozen=True)
class Case:
    """One bad input."""

    name: str
    owner: str
    shows: list[str]
    run: Callable[[World], Any]


def shown(value: Any) -> list[str]:
    """Return spellings of `value`, one of which a message must hold."""
    text = repr(value)
    if isinstance(value, list | tuple | dict | set) and value:
        parts = value.items() if isinstance(value, dict) else value
        inner = [
            piece for part in parts for piece in (part if isinstance(part, tuple) else (part,))
        ]
        return [text, *(spelling for piece in inner for spelling in shown(piece))]
    if callable(value):
        name = getattr(value, "__name__", text).strip("<>")
        return [text, name, "function", type(value).__name__]
    spellings = [text, str(value), text.replace("+", "")] if value != "" else ["''", '""', "empty"]
    spellings += value.split() if isinstance(value, str) else []
    if isinstance(value, float) and value.is_integer():
        spellings.append(f"{value:g}")
    if len(text) > 40:
        spellings += [text[:8], f"{value:g}"[:4] if isinstance(value, float) else text[:8]]
    return spellings


def cases() -> list[Case]:
    """Return the whole table."""
    found = []
    for api in APIS:
        for parameter in api.parameters:
            for number, value in enumerate(api.values(parameter)):

                def run(world, api=api, name=parameter.name, value=value):
                    return api.call(world, **{**api.good, name: value})

                text = repr(value) if len(repr(value)) < 40 else repr(value)[:30] + "..."
                text = re.sub(r" at 0x\w+", "", text)
                name = f"{api.name}({parameter.name}={text}) #{number}"
                found.append(Case(name, api.name, [*shown(value), parameter.name], run))
    for number, (line, cell, value) in enumerate(lines()):
        own = line.replace("mine", f"mine{number}", 1)  # so that none follows from another

        def run(world, line=own, cell=cell):
            return world.tune(line, cell)

        shows = [*value.strip("'").split(), *value.split("=")] if value else [""]
        shows += re.findall(r"--[\w-]+(?==)", line)[-1:]
        name = f"%tune {line} | {cell if cell != CELL else '...'}"
        found.append(Case(name, "%%tune" if cell is not None else "%tune", shows, run))
    return found


def verdict(case: Case, world: World) -> tuple[str, str]:
    """Return "clear", "silent", "raw" or "unclear", and what was shown."""
    try:
        case.run(world)
    except (NbtuneError, UsageError) as error:
        message = str(error)
        is_clear = any(text in message for text in case.shows) and WHAT_IS_ALLOWED.search(message)
        return "clear" if is_clear else "unclear", f"{type(error).__name__}: {message}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return "raw", f"{type(error).__name__}: {error}"
    return "silent", ""
