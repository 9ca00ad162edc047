"""Cells as objectives: dimensions, module semantics, variables shipped, errors before the start."""

import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

from nbtune import Sweep
from nbtune.context import CurrentTrial, Reporter, report, reporting
from nbtune.exceptions import ObjectiveError, SpaceError
from nbtune.objective import Payload, from_cell, write_payload
from nbtune.objective.names import free_names
from nbtune.workers import Inline, Local


def notebook(code=""):
    """Return a namespace as a notebook's, after a cell with `code`."""
    namespace = {"__name__": "__main__"}
    exec(compile(textwrap.dedent(code), "<earlier cell>", "exec"), namespace)
    return namespace


def cell(source, namespace=None, **options):
    """Return the objective of a cell whose first line is ``%%tune``."""
    options = {"filename": "Cell In[3]", "first_line": 2, **options}
    return from_cell(
        textwrap.dedent(source), notebook() if namespace is None else namespace, **options
    )


def variables(objective):
    return set(objective.call.parts())


# --- dimensions


def test_annotated_assignment_is_a_dimension_and_its_value_the_default():  # FEATURES A1
    found = cell("""\
        lr: Real(1e-4, 1e-1, log=True) = 1e-3
        width: Int(16, 256) = 64
        steps: int = 3
        """)

    assert found.space.defaults == {"lr": 1e-3, "width": 64}


def test_params_take_the_place_of_the_defaults():
    assert cell("lr: Real(0, 1) = 0.5\nlr * 2").call({"lr": 0.25}) == 0.5


def test_dimension_without_a_value_is_bound_too():
    assert cell("lr: Real(0, 1)\nlr").call({"lr": 0.25}) == 0.25


@pytest.mark.parametrize(
    "annotation",
    ["'Real(0, 1)'", "Annotated[float, Real(0, 1)]", "nbtune.Real(0, 1)", "R(0, 1)", "unit"],
)
def test_annotation_may_be_spelt_in_many_ways(annotation):
    source = f"""\
        from typing import Annotated
        from nbtune import Real as R
        p: {annotation} = 0.5
        """

    assert cell(source, notebook("import nbtune; unit = nbtune.Real(0, 1)")).space.n_dims == 1


def test_future_annotations_change_nothing():
    found = cell("from __future__ import annotations\nlr: Real(0, 1) = 0.5\nlr")

    assert found.call({"lr": 0.25}) == 0.25


def test_domain_may_use_notebook_variables_imports_and_literals_of_the_cell():
    source = """\
        import math
        low = 2
        n: Int(low, int(math.pow(high, 2))) = low
        """

    assert cell(source, notebook("high = 3")).space["n"].high == 9


def test_domain_that_uses_a_computed_value_is_an_error_with_the_line():
    with pytest.raises(ObjectiveError, match=r"line 3: n: .* cannot use 'top', which the cell"):
        cell("top = max(2, 3)\nn: Int(1, top) = 1")


def test_domain_that_uses_another_dimension_is_an_error():
    with pytest.raises(ObjectiveError, match="cannot use 'a', which is searched too"):
        cell("a: Int(1, 3) = 2\nb: Int(1, a) = 1")


def test_stale_notebook_value_is_not_used_for_what_the_cell_computes():
    with pytest.raises(ObjectiveError, match="cannot use 'top'"):
        cell("top = max(2, 3)\nn: Int(1, top) = 1", notebook("top = 9"))


def test_annotation_with_a_class_of_the_cell_is_plain_python():
    found = cell("class Net: pass\nlr: Real(0, 1) = 0.5\nnet: Net = Net()\nlr")

    assert found.call({"lr": 0.25}) == 0.25


def test_epochs_of_the_cell_are_the_steps_of_a_full_trial():  # FEATURES A4
    assert cell("lr: Real(0, 1) = 0.5\nepochs = 12").max_t == 12


def test_epochs_of_the_notebook_count_when_the_cell_uses_them():
    found = cell("lr: Real(0, 1) = 0.5\nrange(epochs)", notebook("epochs = 7"))

    assert found.max_t == 7


# --- errors, each in one line


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("x = 1", ObjectiveError, r"no search dimension in the cell: write one.*lr: Real\(1e-4"),
        ("lr = Real(0, 1)", ObjectiveError, r"line 2 assigns the domain itself. Write lr: Real"),
        ("lr: Reel(0, 1) = 1", ObjectiveError, "line 2: lr: 'Reel' is not defined. Did you mean"),
        ("lr: nbtune.Reel(0, 1) = 1", ObjectiveError, "'Reel' is not defined. Did you mean 'Real'"),
        ("\nlr: Real(1, 0) = 1", SpaceError, "line 3: lr: needs low < high"),
        ("lr: Real(0, 1, log=True) = 1", SpaceError, "line 2: lr: a log domain needs low > 0"),
        ("c: Choice() = 1", SpaceError, "line 2: c: .*option"),
        ("c: Choice(1, 2, weights=[1]) = 1", SpaceError, "line 2: c: .*weight"),
        ("lr: Real(0) = 1", SpaceError, r"missing 1 .*'high'. Write Real\(low, high, \*, log"),
        ("lr: Real(0, 1) = 5", SpaceError, "line 2: lr: the default is 5"),
        ("lr: Real(0, 1) = nope", ObjectiveError, "the default nope raised NameError"),
        ("lr: Bool = 1", ObjectiveError, r"Call it: lr: Bool\(\.\.\.\)"),
        ("a.b: Real(0, 1) = 1", ObjectiveError, "a.b"),
        (
            "a: Int(1, 2)\na: Int(1, 2)",
            ObjectiveError,
            "a: declared twice, first on line 2",
        ),
        ("if 1:\n  a: Int(1, 2) = 1", ObjectiveError, "line 3: .* top level of the cell"),
        ("def f():\n  a: Int(1, 2) = 1", ObjectiveError, "line 3: .* top level of the cell"),
        ("a: Int(1, 2)\nget_ipython()", ObjectiveError, r"line 3: get_ipython\(\)"),
        ("a: Int(1, 2)\n!ls", ObjectiveError, "line 3: '!ls' is IPython's"),
        ("a: Int(1, 2)\nx = !ls", ObjectiveError, "line 3: 'x = !ls' is IPython's.*subprocess"),
        ("a: Int(1, 2)\n%time x", ObjectiveError, "line 3: '%time x' is IPython's.*cell above"),
        ("%%time\na: Int(1, 2)", ObjectiveError, "line 2: '%%time' is IPython's.*take this line"),
        ("a: Int(1, 2)\nprint?", ObjectiveError, r"line 3: 'print\?' is IPython's"),
    ],
)
def test_mistake_is_told_in_one_line(source, error, message):
    with pytest.raises(error, match=message) as caught:
        cell(source)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["!ls", "x = !ls", "%time x", "print?", "if 1:\n    !ls"])
def test_ipython_itself_says_what_is_its_own(line):
    from IPython.core.inputtransformer2 import TransformerManager

    number = 5 + line.count("\n")
    with pytest.raises(ObjectiveError, match=f"line {number}: .* is IPython's"):
        cell(f"\n\na: Int(1, 2)\n{line}", transform=TransformerManager().transform_cell)


def test_transformed_cell_keeps_its_lines():
    from IPython.core.inputtransformer2 import TransformerManager

    source = "\n\n    a: Int(1, 2)\n    1 / 0"
    found = from_cell(
        source,
        {},
        filename="Cell In[3]",
        first_line=2,
        transform=TransformerManager().transform_cell,
    )

    with pytest.raises(ZeroDivisionError) as caught:
        found.call({"a": 1})
    assert caught.traceback[-1].lineno + 1 == 5


def test_domain_of_another_library_is_told_apart():
    namespace = notebook("class Real:\n    def __init__(self, low, high): pass")

    with pytest.raises(ObjectiveError, match=r"not nbtune's. Write nbtune.Real\(0, 1\)"):
        cell("lr: Real(0, 1) = 0.5", namespace)


@pytest.mark.parametrize("source", ["a: Int(1, 2)\nx = (1,\n  2))", "a: Int(1, 2)\n\nreturn 1"])
def test_syntax_error_has_file_line_and_text_of_the_cell(source):
    with pytest.raises(SyntaxError) as caught:
        cell(source)

    error = caught.value
    last = source.splitlines()[-1]
    assert (error.filename, error.lineno, error.text.strip()) == ("Cell In[3]", 4, last.strip())


def test_text_of_the_running_cell_is_what_ipython_will_show():
    import linecache

    with pytest.raises(SyntaxError):
        cell("a: Int(1, 2)\nx = (1,")

    assert linecache.getline("Cell In[3]", 3) == "x = (1,"


# --- module semantics


def test_cell_runs_as_a_module():
    source = """\
        from math import *
        lr: Real(0, 1) = 0.5
        count = 0
        def add(n):
            global count
            count += n
        class Pair:
            both = [floor(lr + n) for n in (1, 2)]
        for n in Pair.both:
            add(n)
        assert __name__ == "__main__"
        count
        """

    assert cell(source).call({"lr": 0.5}) == 3


def test_top_level_await_works():
    source = """\
        import asyncio
        lr: Real(0, 1) = 0.5
        await asyncio.sleep(0)
        async with asyncio.timeout(9):
            values = [x async for x in (await_ for await_ in [])] if False else [lr]
        await asyncio.sleep(0, values[0])
        """

    assert cell(source).call({"lr": 0.25}) == 0.25


def test_every_run_starts_from_the_notebook_as_it_was():
    namespace = notebook("items = []\nclass Net:\n    made = 0")
    source = """\
        lr: Real(0, 1) = 0.5
        items.append(1)
        Net.made += 1
        {"items": len(items), "made": Net.made}
        """
    found = cell(source, namespace)

    runs = [found.call({"lr": 0.5}) for _ in range(2)]

    assert runs == [{"items": 1, "made": 1}] * 2
    assert (namespace["items"], namespace["Net"].made) == ([], 0)


def test_function_of_the_notebook_sees_what_the_cell_assigns():
    namespace = notebook("lr = 99\ndef scaled(): return lr * 2")

    assert cell("lr: Real(0, 1) = 0.5\nscaled()", namespace).call({"lr": 0.25}) == 0.5


def test_methods_of_the_notebooks_classes_are_left_alone():
    namespace = notebook("class Net:\n    def size(self): return width")
    found = cell("width: Int(1, 9) = 3\nNet().size()", namespace)

    assert found.call({"width": 7}) == 7
    assert namespace["Net"].size.__globals__ is namespace


@pytest.mark.parametrize(
    ("last", "value"),
    [
        ("lr", 0.5),
        ("np.float32(lr)", 0.5),
        ("np.array(3)", 3),
        ("{'a': lr, 'b': np.int64(2)}", {"a": 0.5, "b": 2}),
        ("lr;", 0.5),
        ("True", None),
        ("'text'", None),
        ("{'a': lr, 'b': 'text'}", None),
        ("{}", None),
        ("[lr]", None),
        ("np.ones(3)", None),
        ("x = lr", None),
    ],
)
def test_value_of_the_last_expression_counts_when_it_is_a_metric(last, value):
    result = cell(f"import numpy as np\nlr: Real(0, 1)\n{last}").call({"lr": 0.5})

    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    "last", ["(current_trial().dir / 'n.txt').write_text('abc')", "len('abc')", "3", "{'a': 3}"]
)
@pytest.mark.parametrize("workers", [Inline, Local], ids=["inline", "local"])
def test_last_expression_of_a_cell_that_reports_is_no_metric(last, workers, tmp_path):
    source = f"x: Real(1, 2)\nfor step in (1, 2):\n    report(loss=x / step)\n{last}"

    sweep = Sweep(cell(source), minimize="loss", trials=2, workers=workers(1), store=tmp_path).run()

    for trial in sweep.snapshot().trials:
        assert [report.metrics for report in trial.reports] == [
            {"loss": trial.params["x"]},
            {"loss": trial.params["x"] / 2},
        ]


def test_last_expression_does_not_count_after_the_reports_of_an_earlier_run(tmp_path):
    trial = CurrentTrial(number=0, params={"lr": 0.5}, dir=tmp_path, seed=1)
    reporter = Reporter(trial, lambda step, metrics: None, known_until=3)

    with reporting(reporter):
        value = cell("lr: Real(0, 1)\nlr").call({"lr": 0.5})

    assert value is None


def test_names_of_nbtune_need_no_import(capsys):
    cell("lr: Real(0, 1) = 0.5\nreport(epoch=1, loss=lr)").call({"lr": 0.5})

    assert capsys.readouterr().out == "epoch 1  loss 0.5\n"


def test_name_of_the_notebook_wins_over_that_of_nbtune():
    namespace = notebook("def report(x): return x * 2")

    assert cell("lr: Real(0, 1)\nreport(lr)", namespace).call({"lr": 0.5}) == 1.0


def test_display_writes_to_the_log(capsys):
    cell("lr: Real(0, 1)\ndisplay('a', lr)").call({"lr": 0.5})

    assert capsys.readouterr().out == "'a'\n0.5\n"


# --- which variables are sent


def test_only_what_the_cell_uses_is_sent():
    namespace = notebook("import threading\nX = 1\nunused = threading.Lock()\nmodel = 'stale'")

    found = cell("lr: Real(0, 1)\nmodel = X * lr\nprint(model)\nreport(a=model)", namespace)

    assert found.call.parts() == {"X": 1, "report": report}


def test_what_ipython_put_in_the_place_of_builtins_is_not_sent():
    from IPython.core.autocall import ExitAutocall
    from IPython.core.interactiveshell import _modified_open
    from IPython.display import display

    namespace = {"exit": ExitAutocall(), "open": _modified_open, "display": display}

    assert variables(cell("lr: Real(0, 1)\nopen, exit, display", namespace)) == set()


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("x = y\nx", ["y"]),
        ("x += 1", ["x"]),
        ("x = x + 1", ["x"]),
        ("if a:\n  x = 1\nx", ["a", "x"]),
        ("if a:\n  x = 1\nelse:\n  x = 2\nx", ["a"]),
        ("for i in r:\n  loss = i\n  break\nloss, i", ["r"]),
        ("while go:\n  x = 1\n  continue\nx", ["go"]),
        ("with open_(f) as g:\n  x = g\nx, g", ["open_", "f"]),
        ("try:\n  x = 1\nexcept E as e:\n  e, z\nfinally:\n  x\nx", ["E", "z"]),
        ("def f(a, b=d):\n  c = a\n  return c + late\nlate = 1", ["d", "late"]),
        ("class C(B):\n  n = 1\n  m = n + k\n  def f(self): return n", ["B", "k", "n"]),
        ("[i * k for i in r]", ["r", "k"]),
        ("lambda a: a + b", ["b"]),
        ("(n := 1)\nn", []),
        ("import a.b as c, d.e\nc, d", []),
        ("x[i] = v", ["v", "x", "i"]),
        ("del x", ["x"]),
        ("match p:\n  case [a, b]: a + b\n  case C(): q\na", ["p", "C", "q", "a"]),
        ("match p:\n  case 1: x = 1\n  case _: x = 2\nx", ["p"]),
        ("async with s as t:\n  pass\nasync for u in v:\n  u\nt", ["s", "v"]),
        ("x: T = 1\nx", ["T"]),
        ("def f():\n  global n\n  n += 1", ["n"]),
        ("f'{a!r:>{w}}'", ["a", "w"]),
    ],
)
def test_names_read_before_the_cell_binds_them(source, names):
    import ast

    assert sorted(free_names(ast.parse(source))) == sorted(names)


@pytest.mark.parametrize(
    ("code", "use", "message"),
    [
        ("", "lock", "'lock' is a _thread.lock and cannot be sent"),
        ("def f(): return lock", "f()", "'lock', which f uses, is a _thread.lock"),
        ("class T:\n  def f(self): return lock", "T", "'lock', which T.f uses, is a _thread.lock"),
        ("config = {'a': [lock]}", "config", r"\"config\['a'\]\[0\]\" is a _thread.lock"),
        ("class T: pass\nt = T(); t.q = lock", "t", "'t.q' is a _thread.lock"),
        ("g = (n for n in [])", "g", "'g' is a generator"),
    ],
)
def test_variable_that_cannot_be_sent_is_named(code, use, message, tmp_path):
    namespace = notebook("import threading\nlock = threading.Lock()\n" + code)
    found = cell(f"lr: Real(0, 1) = 0.5\n{use}", namespace)

    with pytest.raises(ObjectiveError, match=message + ".* Create it inside the cell"):
        write_payload(found.call, tmp_path / "payload")
    assert list(tmp_path.iterdir()) == []


# --- in a worker process


def in_another_process(path, params):
    """Return what a process that loads the payload at `path` and calls it prints."""
    code = f"""
import traceback
from nbtune.objective import Payload
try:
    Payload({str(path)!r}).load()({params!r})
except Exception:
    traceback.print_exc()
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_traceback_in_a_worker_shows_line_and_source_of_the_cell(tmp_path):
    found = cell("lr: Real(0, 1) = 0.5\n\nx = lr / 0  # here\n")
    write_payload(found.call, tmp_path / "payload")

    shown = in_another_process(tmp_path / "payload", {"lr": 0.5}).stderr

    assert 'File "Cell In[3]", line 4, in <module>\n    x = lr / 0  # here\n' in shown


def test_traceback_through_another_cell_has_its_title_and_source(tmp_path):
    import linecache

    code = "def fail(x):\n    return x / 0  # there\n"
    linecache.cache["/tmp/ipykernel_1/7.py"] = (len(code), None, code.splitlines(True), "")
    namespace = {"__name__": "__main__"}
    exec(compile(code, "/tmp/ipykernel_1/7.py", "exec"), namespace)
    titles = {"/tmp/ipykernel_1/7.py": "Cell In[1]"}
    found = cell("lr: Real(0, 1)\nfail(lr)", namespace, title=titles.get)
    write_payload(found.call, tmp_path / "payload")

    shown = in_another_process(tmp_path / "payload", {"lr": 0.5}).stderr

    assert 'File "Cell In[1]", line 2, in fail\n    return x / 0  # there\n' in shown


def test_traceback_of_an_awaiting_cell_begins_in_the_cell():
    found = cell("lr: Real(0, 1)\nimport asyncio\nawait asyncio.sleep(0)\n1 / 0")

    with pytest.raises(ZeroDivisionError) as caught:
        found.call({"lr": 0.5})

    assert not any("asyncio" in str(entry.path) for entry in caught.traceback)


def test_classes_and_functions_of_the_notebook_work_in_a_worker(tmp_path):
    namespace = notebook("""\
        import math
        SCALE = 10
        def helper(x): return math.floor(x * SCALE)
        class Base:
            def run(self): return helper(self.x)
        class Net(Base):
            def __init__(self, x):
                super().__init__()
                self.x = x
        """)
    found = cell("lr: Real(0, 1)\nprint(Net(lr).run())", namespace)
    write_payload(found.call, tmp_path / "payload")

    assert in_another_process(tmp_path / "payload", {"lr": 0.5}).stdout == "5\n"


@pytest.mark.parametrize(
    ("earlier", "use"),
    [
        ("import xml.etree.ElementTree", "xml.etree.ElementTree.fromstring('<a/>').tag"),
        ("import xml.etree.ElementTree\nimport xml as x", "x.etree.ElementTree.Element('a').tag"),
        (
            "from xml import etree\nimport xml.etree.ElementTree",
            "etree.ElementTree.Element('a').tag",
        ),
        ("import xml.etree.ElementTree", "import xml\nxml.etree.ElementTree.Element('a').tag"),
        ("import pkg.net", "pkg.net.size()"),
        ("import pkg.net", "def size(): return pkg.net.size()\nsize()"),
        ("import pkg.net\ndef size(): return pkg.net.size()", "size()"),
    ],
)
def test_submodule_that_an_earlier_cell_imported_is_there_in_a_worker(
    earlier, use, tmp_path, monkeypatch
):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").touch()
    (tmp_path / "pkg" / "net.py").write_text("def size(): return 3")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    *body, last = f"lr: Real(0, 1)\n{use}".splitlines()
    source = "\n".join([*body, f"print({last})"])
    write_payload(cell(source, notebook(earlier)).call, tmp_path / "payload")

    told = in_another_process(tmp_path / "payload", {"lr": 0.5})

    assert (told.stdout, told.stderr) in [("a\n", ""), ("3\n", "")]


def test_loaded_cell_may_be_called_again(tmp_path):
    namespace = {"__name__": "__main__", "X": np.zeros(100_000)}
    write_payload(cell("lr: Real(0, 1)\nX += 1\nX[0]", namespace).call, tmp_path / "payload")
    call = Payload(tmp_path / "payload").load()

    assert [call({"lr": 0.5}), call({"lr": 0.5})] == [1.0, 1.0]


def test_cell_reports_from_inside_a_running_loop():
    import asyncio

    found = cell("lr: Real(0, 1)\nimport asyncio\nawait asyncio.sleep(0, lr)")

    async def notebook_cell():
        return found.call({"lr": 0.5})

    assert asyncio.run(notebook_cell()) == 0.5
    assert not [thread for thread in threading.enumerate() if "nbtune-await" in thread.name]
