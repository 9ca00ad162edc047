"""What ``%%tune`` and ``%tune`` understand: their options, their commands, their help."""

import argparse

from nbtune.magics.line import Parser, duration, fraction, names, whole_number

__all__ = ["COMMANDS", "HELP", "PARAM", "cell_parser", "command_parser", "function_parser"]

COMMANDS = {
    "list": "Show every sweep in the store as a table.",
    "show": "Show a sweep's dashboard, also that of a sweep which is only in the store.",
    "stop": "End a sweep; its results stay. --drain: let the trials that run finish.",
    "pause": "Start no more trials until it resumes.",
    "resume": "Go on with a paused sweep, or with a stored one after a kernel restart.",
    "wait": "Block until the sweep ends; interrupting ends the wait, not the sweep.",
    "apply": "Put the best params, or those of --trial N, into the notebook; --run: run it, too.",
    "delete": "Remove a sweep and its files from the store.",
}

PARAM = "lr=Real(1e-4, 1e-1, log=True)=1e-3"
"""A search dimension as ``--param`` says it."""

_INTRODUCTION = """\
tune a notebook cell, a function or a command line, beside the kernel

  %%tune NAME     --maximize METRIC | --minimize METRIC [options]    (the cell below is tuned)
  %tune  FUNCTION --maximize METRIC | --minimize METRIC [--param NAME=DOMAIN] [options]
  %tune  NAME --command LINE --param NAME=DOMAIN=DEFAULT --maximize METRIC [options]
  %tune  list | show | stop | pause | resume | wait | apply | delete  NAME

The cell or function says what is searched by annotations, each with its default value, and
reports its metrics. The line returns at once; NAME is then the sweep: NAME.best, NAME.trials.

examples

  %%tune digits --maximize accuracy --trials 60 --scheduler hyperband
  lr: Real(1e-4, 1e-1, log=True) = 1e-3
  ...
  report(epoch=epoch, accuracy=...)

  %%tune digits --minimize loss --time-limit 10m --workers 4 --searcher random --seed 1
  %%tune digits --minimize loss --trials 60 --scheduler Hyperband(max_t=27, reduction_factor=4)
  %%tune digits --maximize accuracy --trials 200 --stop-when accuracy>=0.98
  %%tune digits --maximize accuracy --trials 100 --resume
  %%tune digits2 --maximize accuracy --trials 30 --warm-start digits
  %%tune digits --maximize accuracy --minimize latency,size --trials 100   (a Pareto front)
  %tune train --maximize accuracy --trials 20         (binds train_sweep; --name says otherwise)
  %tune mlp --command "python train.py --lr={{ lr }}" --maximize accuracy --trials 20 \\
            --param "lr=Real(1e-4, 1e-1, log=True)=1e-3"
  %tune apply digits --run
  %tune apply digits --trial 7        (of several metrics there is no one best trial)

"""

_NOTES = """\
A command reports by nbtune.report in a Python script, or prints lines such as
{"epoch": 3, "accuracy": 0.91}; nbtune.Command tells more.
A value may be {expression} or $name, taken from the notebook: --trials {2 * n}.
A function named like a command is tuned under another name: f = list, then %tune f.
"""


def _add_run_options(parser: Parser) -> Parser:
    goal = parser.add_argument_group("what is best (of several, as in loss,size, the Pareto front)")
    goal.add_argument(
        "--maximize", metavar="METRIC", type=names, help="Look for the highest value."
    )
    goal.add_argument("--minimize", metavar="METRIC", type=names, help="Look for the lowest value.")
    goal.add_argument(
        "--by",
        metavar="WHICH",
        choices=("last", "best"),
        help="Rank a trial by its last value (default), or by the best of all its steps.",
    )
    budget = parser.add_argument_group("how much (at least one, unless the searcher is finite)")
    budget.add_argument("--trials", metavar="N", type=whole_number(1), help="Run this many trials.")
    budget.add_argument(
        "--time-limit", metavar="TIME", type=duration, help="Stop after 90, 90s, 10m or 1h30m."
    )
    budget.add_argument(
        "--trial-time-limit", metavar="TIME", type=duration, help="End a trial after so long."
    )
    budget.add_argument(
        "--compute-time-limit", metavar="TIME", type=duration, help="As much, summed over trials."
    )
    budget.add_argument(
        "--at-time-limit",
        metavar="WHAT",
        choices=("stop", "drain"),
        help="Then stop running trials (default), or start no more and drain: let them finish.",
    )
    budget.add_argument(
        "--max-total-steps",
        metavar="N",
        type=whole_number(1),
        help="Start trials only while fewer steps than this were reported in all.",
    )
    budget.add_argument(
        "--trial-max-steps",
        metavar="N",
        type=whole_number(1),
        help="End a trial, complete, after this many steps.",
    )
    budget.add_argument(
        "--retries",
        metavar="N",
        type=whole_number(0),
        help="Start a trial again, so often, when its process dies (0).",
    )
    budget.add_argument(
        "--stop-when",
        metavar="RULE",
        action="append",
        help="Stop at accuracy>=0.98, after plateau:trials=20 (or seconds=10m), or after "
        "failure_rate:share=0.5; several may be given, any of them does.",
    )
    search = parser.add_argument_group("how")
    search.add_argument(
        "--searcher", metavar="NAME", help="bayes (default), random, grid, chain, or Points([...])."
    )
    search.add_argument(
        "--scheduler", metavar="NAME", help="fifo (default), hyperband, or Hyperband(max_t=27)."
    )
    search.add_argument(
        "--warm-start",
        metavar="NAME",
        type=names,
        help="Let earlier sweeps, by their names with commas, inform the searcher.",
    )
    search.add_argument(
        "--step", metavar="NAME", help='What report() counts; "epoch" unless told otherwise.'
    )
    search.add_argument(
        "--seed", metavar="N", type=whole_number(0), help="Make the search reproducible."
    )
    search.add_argument(
        "--deterministic",
        action="store_true",
        help="Reproducible on several slots, too, whichever trial is faster.",
    )
    where = parser.add_argument_group("where")
    where.add_argument(
        "--workers",
        metavar="N",
        help="Trials at a time, as many as the CPUs allow by default; or a Dask cluster: "
        "tcp://10.0.0.1:8786, or the name of a client or cluster.",
    )
    where.add_argument("--cpus", metavar="N", type=whole_number(1), help="CPUs a trial (1).")
    where.add_argument("--gpus", metavar="N", type=fraction, help="GPUs a trial, 0.5 for half (0).")
    where.add_argument(
        "--memory", metavar="SIZE", help="End a trial that uses more than 2GB, or 512MiB."
    )
    where.add_argument(
        "--store", metavar="FOLDER", help="Where results go; NBTUNE_STORE or .nbtune by default."
    )
    where.add_argument(
        "--setup", metavar="FUNCTION", help="Call this once in each worker process, before trials."
    )
    then = parser.add_argument_group("and")
    then.add_argument("--wait", action="store_true", help="Block until the sweep ends.")
    then.add_argument("--quiet", action="store_true", help="Show no dashboard.")
    then.add_argument(
        "--resume", action="store_true", help="Go on with the stored sweep of this name."
    )
    then.add_argument(
        "--replace", action="store_true", help="Delete the stored sweep of this name first."
    )
    return parser


def _add_command_options(parser: Parser) -> Parser:
    command = parser.add_argument_group("what is run (%tune NAME --command ...) and searched")
    command.add_argument(
        "--command", metavar="LINE", help="What to run; {{ lr }} stands for the value of lr."
    )
    command.add_argument(
        "--param",
        metavar="NAME=DOMAIN",
        action="append",
        help="What is searched, or fixed, also in place of what a function declares; again for "
        "each. NAME=DOMAIN=DEFAULT is tried first.",
    )
    return parser


def cell_parser() -> Parser:
    """Return the parser of ``%%tune NAME ...``."""
    parser = Parser(prog="%%tune")
    parser.add_argument("name", nargs="?")
    return _add_run_options(parser)


def function_parser() -> Parser:
    """Return the parser of ``%tune FUNCTION ...`` and ``%tune NAME --command ...``."""
    parser = Parser(prog="%tune")
    parser.add_argument("function", nargs="?")
    _add_run_options(parser)
    _add_command_options(parser)
    parser.add_argument("--name", metavar="NAME", help="The sweep's name, not FUNCTION_sweep.")
    return parser


def command_parser(command: str) -> Parser:
    """Return the parser of ``%tune COMMAND ...``."""
    parser = Parser(prog=f"%tune {command}")
    if command != "list":
        parser.add_argument("name", nargs="?")
    if command == "apply":
        parser.add_argument("--run", action="store_true", help="Run the tuned cell on them, too.")
        parser.add_argument(
            "--trial", metavar="N", type=whole_number(0), help="Those of trial N, not of the best."
        )
    if command == "stop":
        parser.add_argument(
            "--drain", action="store_true", help="Start no more trials, let running ones finish."
        )
    parser.add_argument("--store", metavar="FOLDER", help="The store to look in.")
    return parser


def _help() -> str:
    commands = "".join(f"  %tune {name:<7} {text}\n" for name, text in COMMANDS.items())
    parser = Parser(
        prog="%tune",
        usage=argparse.SUPPRESS,
        description=f"{_INTRODUCTION}commands\n\n{commands}",
        epilog=_NOTES,
        width=100,
    )
    return _add_command_options(_add_run_options(parser)).format_help()


HELP = _help()
"""What ``%tune --help`` shows, and ``%tune?``."""
