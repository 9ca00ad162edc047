"""Functions as objectives: annotations, defaults, ``@tunable``, explicit spaces, callables."""

import asyncio
import functools
import json
import threading
from typing import Annotated

import pytest

from nbtune.exceptions import ObjectiveError, SpaceError
from nbtune.objective import from_function, tunable, write_payload
from nbtune.space import Bool, Choice, Int, Real, Space

LR = Real(1e-4, 1e-1, log=True)


def train(data, lr: LR = 1e-3, width: Int(16, 256) = 64, epochs=9, *, verbose=False):
    return data * lr


def test_annotation_that_is_a_domain_is_searched_and_its_default_tried_first():  # FEATURES A1
    def objective(lr: LR = 1e-3, layers: Int(1, 5) = 2, momentum: float = 0.9):
        return lr

    found = from_function(objective)

    assert found.space.defaults == {"lr": 1e-3, "layers": 2}


def test_domain_in_annotated_is_searched():
    def objective(lr: Annotated[float, LR] = 1e-2):
        return lr

    assert from_function(objective).space.defaults == {"lr": 1e-2}


def test_string_annotations_are_evaluated():
    def objective(x: "Annotated[float, LR]" = 0.01, k: "Int(1, 9)" = 3, y: "words" = 1):  # noqa: F821
        return x

    assert from_function(objective).space.defaults == {"x": 0.01, "k": 3}


def test_string_annotations_see_the_variables_of_the_enclosing_function():
    top = 7

    def objective(k: "Int(1, top)" = 3):
        return k + top

    assert from_function(objective).space["k"].high == 7


def test_string_annotations_find_domains_that_were_not_imported():
    code = "def objective(p: 'Normal(0, 1)' = 0.5): return p"
    namespace = {"__name__": "__main__"}
    exec(code, namespace)

    assert from_function(namespace["objective"]).space.defaults == {"p": 0.5}


def test_misspelt_domain_in_a_string_annotation_names_the_nearest():
    def objective(lr: "Reel(0, 1)" = 0.5):  # noqa: F821
        return lr

    with pytest.raises(ObjectiveError, match=r"lr: 'Reel' is not defined. Did you mean 'Real'"):
        from_function(objective)


def test_class_of_a_domain_as_annotation_is_told_to_be_called():
    def objective(flag: Bool = True):
        return flag

    with pytest.raises(ObjectiveError, match=r"Call it: flag: Bool\(\.\.\.\)"):
        from_function(objective)


def test_default_outside_its_domain_is_an_error_with_the_name():  # FEATURES P5
    def objective(lr: LR = 5.0):
        return lr

    with pytest.raises(SpaceError, match=r"lr: the default is 5.0"):
        from_function(objective)


def test_tunable_declares_domains_and_constants():  # FEATURES A1
    @tunable(lr=LR, epochs=10)
    def objective(lr, epochs):
        return lr * epochs

    found = from_function(objective)

    assert found.call({"lr": 0.1, "epochs": found.space.defaults["epochs"]}) == 1.0
    assert (found.max_t, found.space.n_dims) == (10, 1)


def test_tunable_takes_the_default_of_the_parameter():
    @tunable(lr=LR)
    def objective(lr=0.02):
        return lr

    assert from_function(objective).space.defaults == {"lr": 0.02}


def test_tunable_refuses_an_unknown_name_where_it_stands():  # FEATURES P5
    with pytest.raises(
        ObjectiveError, match=r"'lrr' is not a parameter of objective. Did you mean"
    ):

        @tunable(lrr=LR)
        def objective(lr):
            return lr


def test_tunable_without_names_says_how_to_write_it():
    with pytest.raises(ObjectiveError, match=r"write @tunable\(lr="):
        tunable(train)


def test_explicit_space_adds_to_the_annotations_and_replaces_them():
    found = from_function(functools.partial(train, 1), {"width": Choice(16, 32), "verbose": Bool()})

    assert set(found.space) == {"lr", "width", "verbose"}
    assert found.space["width"].grid() == [16, 32]


def test_explicit_domain_takes_the_default_of_the_parameter_where_that_is_inside():
    def objective(a=0.25, b=5.0):
        return a + b

    found = from_function(objective, Space({"a": Real(0, 1), "b": Real(0, 1)}))

    assert found.space.defaults == {"a": 0.25, "b": 0.5}


def test_name_that_is_no_parameter_gets_the_nearest():  # FEATURES P5
    with pytest.raises(ObjectiveError, match=r"'widht' is not a parameter of train. Did you mean"):
        from_function(train, {"widht": Int(1, 2)})


def test_function_with_keyword_arguments_takes_any_name():
    def objective(**options):
        return options["a"]

    assert from_function(objective, {"a": Real(0, 1)}).call({"a": 0.5}) == 0.5


def test_parameters_without_a_value_are_all_named():  # FEATURES P5
    def objective(x, y, lr: LR):
        return lr

    with pytest.raises(ObjectiveError, match="objective needs 'x' and 'y'"):
        from_function(objective)


def test_function_without_dimensions_says_what_to_write():
    def objective(lr=0.1):
        return lr

    with pytest.raises(ObjectiveError, match=r"no search dimension.*lr: Real"):
        from_function(objective)


def test_space_that_is_no_mapping_is_refused():
    with pytest.raises(ObjectiveError, match=r"space=\[1\] is a list"):
        from_function(train, [1])


def test_epochs_of_the_signature_are_the_steps_of_a_full_trial():  # FEATURES A4
    assert from_function(functools.partial(train, 1)).max_t == 9


def test_epochs_that_are_searched_fix_no_steps():
    found = from_function(functools.partial(train, 1), {"epochs": Int(1, 50)})

    assert found.max_t is None


def test_coroutine_function_is_run_to_its_end():
    async def objective(lr: LR):
        await asyncio.sleep(0)
        return lr

    assert from_function(objective).call({"lr": 0.5}) == 0.5


def test_coroutine_function_runs_inside_a_running_loop_too():
    async def objective(lr: LR):
        await asyncio.sleep(0)
        return lr

    async def notebook():
        return from_function(objective).call({"lr": 0.5})

    assert asyncio.run(notebook()) == 0.5


def test_partial_fixes_what_it_binds():
    found = from_function(functools.partial(train, 2, width=32))

    assert set(found.space) == {"lr"}
    assert found.call({"lr": 0.5}) == 1.0


def test_partial_of_a_tunable_function_fixes_what_it_binds():
    @tunable(a=Real(0, 1), b=Real(0, 1))
    def objective(a, b):
        return a + b

    assert set(from_function(functools.partial(objective, 1)).space) == {"b"}


def test_bound_method_is_an_objective():
    class Trainer:
        factor = 2

        def run(self, lr: LR):
            return lr * self.factor

    found = from_function(Trainer().run)

    assert (found.name, found.call({"lr": 0.5})) == ("run", 1.0)


def test_callable_object_is_an_objective():
    class Trainer:
        def __call__(self, lr: "LR"):
            return lr

    found = from_function(Trainer())

    assert (found.name, found.call({"lr": 0.5})) == ("Trainer", 0.5)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (3, "the objective is 3, a int"),
        (dict, "dict"),
        (iter, "iter does not tell its parameters"),
    ],
)
def test_what_is_no_function_is_refused(objective, message):
    with pytest.raises(ObjectiveError, match=message):
        from_function(objective)


def test_class_is_refused():
    class Model:
        def __init__(self, lr: LR): ...

    with pytest.raises(ObjectiveError, match="Model is a class"):
        from_function(Model)


def test_generator_function_is_refused():
    def objective(lr: LR):
        yield lr

    with pytest.raises(ObjectiveError, match="objective is a generator"):
        from_function(objective)


def test_positional_only_parameter_cannot_be_searched():
    def objective(lr: LR, /):
        return lr

    with pytest.raises(ObjectiveError, match="not passed by name"):
        from_function(objective)


def test_source_is_that_of_the_function():
    def objective(lr: LR):
        return lr  # as written

    assert from_function(objective).source.splitlines()[1] == "    return lr  # as written"


def test_function_of_an_importable_module_travels_by_reference(tmp_path):
    write_payload(from_function(json.dumps, {"obj": Real(0, 1)}).call, tmp_path / "payload")

    assert (tmp_path / "payload").stat().st_size < 500


def test_variable_of_a_nested_function_that_cannot_be_sent_is_named(tmp_path):
    gate = threading.Lock()

    def locked(lr: LR):
        with gate:
            return lr

    with pytest.raises(ObjectiveError, match=r"'gate', which locked uses, is a _thread.lock"):
        write_payload(from_function(locked).call, tmp_path / "payload")
