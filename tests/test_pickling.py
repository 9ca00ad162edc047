"""What is pickled by value keeps the file names of its code, whatever cloudpickle does."""

import pickle
import types

import cloudpickle
import pytest

from nbtune import Real, pickling
from nbtune.objective import Payload, from_function, write_payload


def defined(source, name="f", filename="Cell In[7]"):
    """Return what a notebook's cell defines."""
    namespace = {"__name__": "__main__"}
    exec(compile(source, filename, "exec"), namespace)
    return namespace[name]


def names_of(code):
    """Return the file names of a code object and of those inside it."""
    inner = [each for each in code.co_consts if isinstance(each, types.CodeType)]
    return {code.co_filename}.union(*(names_of(each) for each in inner))


@pytest.fixture(params=["kept", "overwritten"])
def release(request, monkeypatch):
    """Pickle as the releases of cloudpickle that keep a file name do, and as those that do not."""
    reduce = cloudpickle.Pickler._dispatch_table[types.CodeType]
    name = "<dynamic-code>"

    def reduced(code):
        make, arguments = reduce(code)
        place = len(arguments) - 8
        assert arguments[place] in (name, code.co_filename)
        kept = code.co_filename if request.param == "kept" else name
        return make, (*arguments[:place], kept, *arguments[place + 1 :])

    monkeypatch.setitem(cloudpickle.Pickler._dispatch_table, types.CodeType, reduced)


@pytest.mark.usefixtures("release")
def test_function_keeps_the_file_names_of_all_its_code():
    function = defined("def f():\n    return [lambda: 1 for _ in range(2)]")

    back = pickle.loads(pickling.dumps(function))

    assert names_of(back.__code__) == {"Cell In[7]"}


@pytest.mark.usefixtures("release")
def test_method_keeps_its_file_name():
    kind = defined("class A:\n    def f(self): pass", "A")

    back = pickle.loads(pickling.dumps(kind()))

    assert back.f.__code__.co_filename == "Cell In[7]"


@pytest.mark.usefixtures("release")
def test_function_in_a_payload_keeps_its_file_name(tmp_path):
    function = defined("def f(lr): return lr")
    call = from_function(function, {"lr": Real(0, 1)}).call
    write_payload(call, tmp_path / "payload")

    back = Payload(tmp_path / "payload").load().parts()["f"]

    assert back.__code__.co_filename == "Cell In[7]"
