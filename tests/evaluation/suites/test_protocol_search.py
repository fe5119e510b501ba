"""protocol-search: what was looked up and given right counts, and nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from punie.evaluation.suite import Verdict
from punie.evaluation.suites.frozen import write_files
from punie.evaluation.suites.protocol_search import PROTOCOL_SEARCH, QUESTIONS, project
from punie.evaluation.work import Executed
from tests.evaluation.suites.works import called, work_of

pytestmark = pytest.mark.anyio

PLAIN = "protocol/plain"
DUE = QUESTIONS[PLAIN].due

INSPECT = """
import dataclasses, importlib, inspect, json, pathlib, sys, typing
import typing_extensions
typing.TYPE_CHECKING = True
sys.path.insert(0, ".")
classes = {}
def take(cls):
    if cls.__module__.startswith(("harbor", "test_")):
        classes[cls.__name__] = cls
        for inner in vars(cls).values():
            if inspect.isclass(inner) and inner.__qualname__.startswith(cls.__qualname__ + "."):
                take(inner)
for file in sorted(pathlib.Path(".").rglob("*.py")):
    name = ".".join(file.with_suffix("").parts).removesuffix(".__init__").removeprefix("tests.")
    sys.path.insert(0, "tests")
    for found in vars(importlib.import_module(name)).values():
        if inspect.isclass(found):
            take(found)
real = (typing.Protocol, typing_extensions.Protocol)
def named(wanted):
    return sorted(name for name, cls in classes.items() if wanted(cls))
import asyncio
from harbor.storage import BlobStore
from harbor.vessels import Vessel
print(json.dumps({
    "protocol": named(lambda c: any(p in c.__bases__ for p in real)),
    "indirect": named(lambda c: any(p in c.__mro__ and p not in c.__bases__ for p in real)),
    "asyncio": named(lambda c: issubclass(c, asyncio.BaseProtocol)),
    "abstract": named(lambda c: issubclass(c, Vessel) and c is not Vessel),
    "implementers": named(lambda c: BlobStore in c.__mro__ and c is not BlobStore),
    "typed": named(typing_extensions.is_typeddict),
    "frozen": named(lambda c: dataclasses.is_dataclass(c) and c.__dataclass_params__.frozen),
}))
"""


def search(*names: str) -> Executed:
    lines = [f"harbor/a.py:{n}: class {name}(Protocol):" for n, name in enumerate(names)]
    return called("search", {"pattern": "Protocol"}, "\n".join(lines))


async def verdict(name: str, answer: str, *executed: Executed) -> Verdict:
    item = await PROTOCOL_SEARCH.item(name, Path())
    return await item.judge(work_of(answer, *executed), Path())


def scored(found: Verdict) -> tuple[bool, bool]:
    return found.checks["solved"].strict, found.checks["solved"].soft


def listed(*names: str) -> str:
    return "\n".join(f"- `{name}`" for name in names)


def test_python_itself_agrees_with_what_is_due(tmp_path: Path) -> None:
    write_files(tmp_path, project())
    ran = subprocess.run(
        [sys.executable, "-c", INSPECT], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    found = json.loads(ran.stdout)
    due = {name: sorted(question.due) for name, question in QUESTIONS.items()}
    assert found["protocol"] == due[PLAIN] == due["protocol/bases"]
    assert found["indirect"] == sorted(QUESTIONS["protocol/count"].tolerated)
    assert found["asyncio"] == due["relatives/asyncio"]
    assert found["abstract"] == due["relatives/abstract"]
    assert found["implementers"] == due["relatives/implementers"]
    assert found["typed"] == due["relatives/typed-dicts"]
    assert found["frozen"] == due["relatives/frozen"]


async def test_a_whole_answer_that_was_looked_up_is_right() -> None:
    found = await verdict(PLAIN, listed(*DUE), search(*DUE))
    assert scored(found) == (True, True)
    assert found.note == ""
    assert found.measures["recall"] == found.measures["precision"] == 1.0
    assert found.measures["false_positives"] == 0


async def test_a_memorised_answer_is_worth_nothing() -> None:
    found = await verdict(PLAIN, listed(*DUE))
    assert not any(check.soft for check in found.checks.values())
    assert found.measures["recall"] == 0
    assert "Nothing was looked at" in found.note


@pytest.mark.parametrize(
    "executed",
    [
        called("search", {"pattern": "Protocol"}, "error: denied", ran=False),
        called("run_command", {"command": f"echo {' '.join(DUE)}"}, " ".join(DUE)),
        called("run_code", {"code": f"print({list(DUE)})"}, str(DUE)),
        called("update_plan", {"steps": [{"content": listed(*DUE)}]}, listed(*DUE)),
        called("write_file", {"path": "a.md", "content": listed(*DUE)}, listed(*DUE)),
        called("explore", {"task": "Which?"}, listed(*DUE)),
        search("Nothing"),
    ],
)
async def test_what_no_look_showed_is_not_credited(executed: Executed) -> None:
    found = await verdict(PLAIN, listed(*DUE), executed)
    assert scored(found) == (False, False)
    assert found.measures["recall"] == 0


async def test_missing_and_wrong_names_are_counted() -> None:
    found = await verdict(PLAIN, listed(*DUE[1:], "LinkProtocol", "ShipGateway"), search(*DUE))
    assert scored(found) == (False, False)
    assert found.measures["recall"] == pytest.approx(8 / 9)
    assert found.measures["precision"] == pytest.approx(8 / 10)
    assert found.measures["false_positives"] == 2
    assert found.note == "8 names right; missing: BlobStore; wrong: LinkProtocol, ShipGateway."


async def test_every_class_is_no_answer() -> None:
    text = "\n".join(project().values())
    everything = listed(*sorted({w.strip("(:") for w in text.split() if w[:1].isupper()}), *DUE)
    found = await verdict(PLAIN, everything, search(*DUE))
    assert found.measures["recall"] == 1
    assert found.measures["precision"] < 0.4
    assert scored(found) == (False, False)


async def test_what_a_person_would_let_pass_is_right_softly() -> None:
    indirect = await verdict(PLAIN, listed(*DUE, "DiskStore"), search(*DUE, "DiskStore"))
    assert scored(indirect) == (False, True)
    bases = await verdict("protocol/bases", listed(*DUE, "DiskStore"), search(*DUE, "DiskStore"))
    assert scored(bases) == (False, False)


async def test_functions_are_found_by_their_callers() -> None:
    due = QUESTIONS["relatives/callers"].due
    seen = called("references", {"symbol": "berth_fee"}, "\n".join(due))
    answer = "`weekly_fee`, `bill_ship` and `estimate_stay` call `berth_fee`."
    assert scored(await verdict("relatives/callers", answer, seen)) == (True, True)
    more = answer + " `foreign_price` does so too."
    assert scored(await verdict("relatives/callers", more, seen)) == (False, False)
    other = answer + " `foreign_price` calls a method, not `berth_fee`."
    assert scored(await verdict("relatives/callers", other, seen)) == (True, True)
