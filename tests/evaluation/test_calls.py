"""When a call is the wanted one, and when it only means the same."""

from typing import Any

import pytest

from punie.evaluation.calls import is_exactly, means_same
from punie.training.data.example import Function


def call(name: str, **arguments: Any) -> Function:
    return Function(name=name, arguments=arguments)


@pytest.mark.parametrize(
    ("given", "wanted", "exactly", "meant"),
    [
        (call("lint", path="a.py"), call("lint", path="a.py"), True, True),
        (call("lint", path="a.py", fix=None), call("lint", path="a.py"), True, True),
        (call("lint", path="./a.py", fix=False), call("lint", path="a.py"), False, True),
        (call("lint", path="/project/a.py"), call("lint", path="a.py"), False, True),
        (call("lint", path="/a.py"), call("lint", path="a.py"), False, False),
        (call("lint", path="a.py", fix=True), call("lint", path="a.py"), False, False),
        (call("lint", path="."), call("lint"), False, True),
        (call("format", path="a.py"), call("lint", path="a.py"), False, False),
        (call("move", path="a", to="b/../c"), call("move", path="a", to="c"), False, True),
        (call("run_tests", paths=["./t"]), call("run_tests", paths=["t"]), False, True),
        (call("run_tests", paths=["t", "u"]), call("run_tests", paths=["u"]), False, False),
        (call("run_command", command="ls  -a"), call("run_command", command="ls -a"), False, True),
        (call("run_command", command="ls -A"), call("run_command", command="ls -a"), False, False),
        (call("ask_user", question="which?"), call("ask_user", question="Which"), False, True),
        (
            call("write_file", path="a", content="X\n"),
            call("write_file", path="a", content="x\n"),
            False,
            False,
        ),
        (
            call("update_plan", steps=[{"content": "Go.", "status": "pending"}]),
            call("update_plan", steps=[{"content": "go", "status": "pending"}]),
            False,
            True,
        ),
        (call("search", pattern="A"), call("search", pattern="a"), False, False),
        (call("search", other=1), call("search", other=1), True, True),
        (call("no_such", x=1), call("no_such", x=1), True, True),
    ],
)
def test_calls(given: Function, wanted: Function, exactly: bool, meant: bool) -> None:
    assert is_exactly(given, wanted) == exactly
    assert means_same(given, wanted) == meant
