"""Bad input: one clear error that names the value and what is allowed, before a worker starts."""

import inspect

import psutil
import pytest
from bad_inputs import APIS, EXEMPT, World, cases, option_values, public, verdict

from nbtune.magics.options import COMMANDS, cell_parser, command_parser, function_parser

CASES = cases()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("bad-input"))
    _ = world.sweep, world.front, world.shell
    yield world
    world.close()


@pytest.mark.parametrize("owner", sorted({case.owner for case in CASES}))
def test_bad_input_is_refused_clearly_and_before_a_worker_starts(owner, world):
    before = {process.pid for process in psutil.Process().children(recursive=True)}

    wrong = [
        (outcome, case.name, said)
        for case in CASES
        if case.owner == owner
        for outcome, said in [verdict(case, world)]
        if outcome != "clear"
    ]

    assert wrong == []
    assert {process.pid for process in psutil.Process().children(recursive=True)} <= before


def test_the_table_has_at_least_600_bad_inputs():
    assert len({case.name for case in CASES}) >= 600


def test_every_public_callable_is_in_the_table():
    listed = {api.of for api in APIS}
    names = {api.name for api in APIS}

    missing = [
        name
        for name, found in public()
        if found not in listed and name not in names and name not in EXEMPT
    ]

    assert missing == [], "add them to APIS in bad_inputs.py, or to EXEMPT with a reason"


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
def test_every_parameter_has_bad_values(api):
    unchecked = [
        parameter.name
        for parameter in api.parameters
        if not api.values(parameter) and parameter.name not in api.free
    ]

    assert unchecked == [], "give bad values, or a reason in free"


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
def test_the_table_names_parameters_that_there_are(api):
    known = inspect.signature(api.of).parameters

    assert {*api.bad, *api.fine, *api.free} <= {*known}


def test_every_option_of_the_magics_has_bad_values():
    parsers = [cell_parser(), function_parser(), *map(command_parser, COMMANDS)]
    options = {name: action for parser in parsers for name, action in parser.options.items()}

    unchecked = [name for name, action in options.items() if not option_values(name, action)]

    assert unchecked == [], "give bad values in OPTIONS of bad_inputs.py"
