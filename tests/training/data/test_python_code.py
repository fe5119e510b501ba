import pytest

from punie.training.data.python_code import (
    OLD_IDIOMS,
    CodeFault,
    fenced_python,
    judge_code,
    python_code,
)
from punie.training.errors import TrainingError
from tests.training.data.samples import answer, example, result, user
from tests.training.sample_conversations import called

FENCES = """So:
```python
x = 1
```
and
~~~py
    y = 2
    ```
    z = 3
~~~
not
```bash
rm x
```
```
plain
```
````python
'''
```
'''
````
```python
>>> 1
1
```
```python
open
"""


def test_code_in_fences() -> None:
    assert fenced_python(FENCES) == ["x = 1\n", "y = 2\n```\nz = 3\n", "'''\n```\n'''\n"]


def test_code_is_what_the_assistant_writes() -> None:
    talk = example(
        user("```python\nasked\n```"),
        called("write_file", path="a.py", content="written"),
        result("```python\nseen\n```"),
        called("write_file", path="a.txt", content="text"),
        result("ok"),
        called("run_code", code="run"),
        result("ok"),
        answer("```python\nsaid\n```"),
    )
    assert python_code(talk) == ["said\n", "written", "run"]


@pytest.mark.parametrize(
    ("code", "version", "fault"),
    [
        ("print('a')", "3.7", None),
        ("print 'a'", "3.13", "syntax"),
        ("if (n := 3):\n    pass", "3.7", "syntax"),
        ("match x:\n    case 1: pass", "3.9", "syntax"),
        ("match x:\n    case 1: pass", "3.10", None),
        ("type X = int", "3.11", "syntax"),
        ("type X = int", "3.12", None),
        ("class A(object): pass", "3.11", "idiom"),
        ("from typing import List", "3.11", "idiom"),
        ("from typing import List", "3.8", None),
        ("class A(object):\n    pass\nprint 'a'", "3.11", "syntax"),
        ("x = '%s' % y  # noqa", "3.11", "idiom"),
        ("\ud800", "3.11", "syntax"),
        ("return 1", "3.11", None),
    ],
)
def test_judged_for_a_version(code: str, version: str, fault: str | None) -> None:
    good = "x: list[int] = []\n"
    verdicts = judge_code([good, code, good], version, OLD_IDIOMS)
    assert [verdict and verdict.kind for verdict in verdicts] == [None, fault, None]


@pytest.mark.parametrize("minor", range(7, 15))
def test_every_version_that_can_be_asked_for(minor: int) -> None:
    template_string = judge_code(["x = 1\n", "x = t'{y}'\n"], f"3.{minor}", OLD_IDIOMS)
    assert [fault is None for fault in template_string] == [True, minor >= 14]


def test_without_idioms_only_what_cannot_be_read_counts() -> None:
    assert judge_code(["class A(object): pass"], "3.11", ()) == [None]
    assert judge_code([], "3.11", ()) == []


def test_a_rule_that_ruff_does_not_know() -> None:
    with pytest.raises(TrainingError, match=r"ruff could not judge the Python code \(.*NOPE1"):
        judge_code(["x"], "3.11", ("NOPE1",))


def test_the_fault_says_what() -> None:
    (fault,) = judge_code(["type X = int"], "3.11", ())
    assert fault == CodeFault(
        "syntax",
        "Cannot use `type` alias statement on Python 3.11 (syntax was added in Python 3.12)",
    )
