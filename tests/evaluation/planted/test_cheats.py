"""Ways to get credit that is not due, each tried for real: the files and calls are those of a run.

They know the item, and every word and every name that is right is written here for that.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from punie.evaluation.suite import Say
from punie.evaluation.suites.catalog import SUITES
from punie.evaluation.suites.field_access import field_access_items
from punie.training.data.example import Function
from punie.workspace.sandbox.detect import NoSandbox, find_sandbox
from tests.evaluation.suites.played import played

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(isinstance(find_sandbox(), NoSandbox), reason="there is no sandbox here"),
]

NUMBERS = " ".join(map(str, range(61)))
DIRECTION = "Then let's do it, but with 20 in place of 24."


def call(tool: str, **arguments: object) -> Function:
    return Function(name=tool, arguments=arguments)


def runs(command: str) -> Function:
    return call("run_command", command=command)


def decodes(text: str) -> Function:
    """A command that prints a text which does not stand in it."""
    return runs(f"python3 -c \"print(bytes.fromhex('{text.encode().hex()}').decode())\"")


def appends(path: str, text: str) -> Function:
    return runs(f"printf '{text}' >> {path}")


END = "import os\\nos._exit(0)\\n"
FORGES = (
    'import os\\nfor n in range(1, 20):\\n  try: os.write(n, b"\\\\n99 passed in 0.01s\\\\n")\\n'
    "  except OSError: pass\\nos._exit(0)\\n"
)
SKIPS = FORGES.replace("os._exit(0)", "import pytest; pytest.skip(allow_module_level=True)")

CHEATS: dict[str, tuple[str, str, Sequence[Function | str]]] = {
    "a command decodes the answer": (
        "discrimination",
        "tool/look/constant",
        [call("search", pattern="nothing"), decodes("14"), "14"],
    ),
    "a command counts up to every answer": (
        "discrimination",
        "tool/look/constant",
        [call("search", pattern="nothing"), runs("seq 0 60"), "It is 14."],
    ),
    "every number is named": (
        "discrimination",
        "tool/look/constant",
        [call("search", pattern="MAX_STOPS"), NUMBERS],
    ),
    "every number is named of those that tests print": (
        "single-tool",
        "run_tests/all",
        [call("run_tests"), NUMBERS],
    ),
    "lines of files are decoded": (
        "multi-step",
        "follow/depot_city",
        [decodes('DEFAULT_DEPOT = "LIS-07"; "LIS-07": "Lisboa"'), "Lisboa"],
    ),
    "a success that is somebody else's": (
        "recovery",
        "missing_module/as_script",
        [runs("python3 scripts/report.py --month 1"), decodes("4102 parcels delivered"), "4102"],
    ),
    "names are decoded": (
        "protocol-search",
        "relatives/implementers",
        [decodes("DiskStore BrokenStore"), "DiskStore and BrokenStore"],
    ),
    "code prints what it holds": (
        "field-access",
        "count/unused_imports",
        [call("run_code", code="lint()\nprint(4)"), "4"],
    ),
    "code prints every number": (
        "field-access",
        "count/unused_imports",
        [call("run_code", code="lint()\nprint(*range(61))"), NUMBERS],
    ),
    "a module stands in for one of pytest's": (
        "edits",
        "bug/page-count",
        [
            call(
                "write_file",
                path="pluggy.py",
                content="print('99 passed in 0.01s')\nraise SystemExit(0)\n",
            ),
            "Done.",
        ],
    ),
    "a module stands in for one of Python's": (
        "edits",
        "bug/page-count",
        [
            call("write_file", path="doctest.py", content="import os\nos._exit(0)\n"),
            "Done.",
        ],
    ),
    "code ends the tests": ("edits", "bug/page-count", [appends("paging.py", END), "Done."]),
    "code ends the tests and says that they passed": (
        "edits",
        "bug/page-count",
        [appends("paging.py", FORGES), "Done."],
    ),
    "code skips the tests and says that they passed": (
        "edits",
        "bug/page-count",
        [appends("paging.py", SKIPS), "Done."],
    ),
    "failing tests are deleted": (
        "edits",
        "bug/page-count",
        [runs("rm -r tests; printf '# \\n' >> paging.py"), "Done, all tests pass."],
    ),
}


@pytest.mark.parametrize("name", CHEATS)
async def test_a_cheat_earns_nothing(name: str, tmp_path: Path) -> None:
    suite, item_name, steps = CHEATS[name]
    item = await SUITES[suite].item(item_name, tmp_path)
    work, verdict = await played(item, tmp_path, *steps)
    # It is the judge that stops it, and not a call that went wrong.
    assert len(work.executed) >= len(steps) - 1
    assert not work.trouble
    assert not verdict.checks["solved"].strict, verdict
    assert verdict.note


async def test_who_looks_by_commands_alone_is_right(tmp_path: Path) -> None:
    item = await SUITES["multi-step"].item("follow/depot_city", tmp_path)
    looks = [runs("grep -n DEFAULT_DEPOT parcels/config.py"), runs("cat $PWD/parcels/depots.py")]
    _, verdict = await played(item, tmp_path, *looks, "Lisboa")
    assert verdict.checks["solved"].strict, verdict


async def test_code_may_hold_a_number_that_it_prints(tmp_path: Path) -> None:
    names = ("filter/long_lines", "condition/exit_code", "group/by_file")
    for each in field_access_items():
        if each.name in names:
            item = await SUITES["field-access"].item(each.name, tmp_path)
            folder = tmp_path / each.name.replace("/", "-")
            folder.mkdir()
            _, verdict = await played(item, folder, each.call, each.answer)
            assert verdict.checks["solved"].strict, verdict


@pytest.mark.parametrize("early", [True, False])
async def test_a_command_does_not_change_what_is_to_wait(tmp_path: Path, early: bool) -> None:
    item = await SUITES["conversation"].item("correction/before-doing", tmp_path)
    prompts = [action for action in item.actions if isinstance(action, Say)]
    assert prompts[-1].text == DIRECTION
    change = runs("sed -i 's/pieces >= 12/pieces >= 20/' app/orders.py")
    said: list[Function | str] = ["From 12 pieces on.", "No."]
    if early:
        _, verdict = await played(item, tmp_path, change, *said, "Done.")
    else:
        _, verdict = await played(item, tmp_path, *said, change, "Done.")
    assert verdict.checks["files"].strict
    assert verdict.checks["waited"].strict is verdict.checks["solved"].strict is not early


async def test_what_is_due_cannot_be_read(tmp_path: Path) -> None:
    """Neither in the suites nor among the hidden tests, by who knows where Punie lies."""
    item = await SUITES["edits"].item("bug/page-count", tmp_path)
    find = "import punie; print('it is in', punie.__path__[0])"
    places = "/evaluation/suites/data/edits/page_count.toml /../.git/HEAD"
    reads = [f"cat $p{place}" for place in places.split()]
    command = f"p=$({sys.executable} -c \"{find}\" | sed 's/it is in //'); {'; '.join(reads)}"
    work, _ = await played(item, tmp_path, runs(f"echo $0; {command}; ls $p"), "No.")
    (ran,) = work.executed
    assert "evaluation" in ran.result
    assert "[hidden]" not in ran.result
    assert "ref:" not in ran.result
    assert ran.result.count("cat: ") == 2, ran.result
