"""edits: hidden tests decide, on the code alone."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from punie.evaluation.suite import Verdict
from punie.evaluation.suites.edits import EDITS, edits
from punie.evaluation.suites.frozen import write_files
from punie.evaluation.suites.hidden_tests import is_code
from tests.evaluation.suites.works import called, work_of

pytestmark = pytest.mark.anyio

RUN_ALL = """
import io, json, os, pathlib, sys, contextlib
import pytest
found = {}
for folder in sorted(pathlib.Path(".").iterdir()):
    child = os.fork()
    if not child:
        os.chdir(folder)
        sys.path.insert(0, str(folder.resolve()))
        with contextlib.redirect_stdout(io.StringIO()):
            code = pytest.main(["-q", "-p", "no:cacheprovider", "--tb=no"])
        os._exit(int(code))
    found[folder.name] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(json.dumps(found))
"""


async def judged(name: str, changes: Mapping[str, str], folder: Path) -> Verdict:
    """Return the verdict on a project with files changed by a model that says all is well."""
    edit = edits()[name]
    files = {**edit.files, **changes}
    write_files(folder, files)
    item = await EDITS.item(name, folder)
    writes = [called("write_file", {"path": p, "content": t}) for p, t in changes.items()]
    return await item.judge(work_of("Done, all tests pass.", *writes, root=folder), folder)


def replaced(name: str, path: str, old: str, new: str) -> dict[str, str]:
    text = edits()[name].files[path]
    assert old in text
    return {path: text.replace(old, new)}


def solved(verdict: Verdict) -> tuple[bool, bool]:
    return verdict.checks["solved"].strict, verdict.checks["solved"].soft


def test_solutions_pass_and_projects_do_not_before(tmp_path: Path) -> None:
    # A sample of them: all were tried, and the version's fingerprint keeps them as they are.
    some = list(edits().items())[::5]
    for name, edit in some:
        plain = name.replace("/", "-")
        for when, files in (("before", edit.files), ("after", edit.solution.of(edit.files))):
            code = {path: text for path, text in files.items() if is_code(path)}
            write_files(tmp_path / f"{plain}-{when}", {**code, **edit.tests})
    ran = subprocess.run(
        [sys.executable, "-c", RUN_ALL],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    found = json.loads(ran.stdout.splitlines()[-1])
    assert len(found) == 2 * len(some) == 12
    assert {name for name, code in found.items() if code == 0} == {
        name for name in found if name.endswith("-after")
    }


async def test_a_right_change_is_right_however_it_is_written(tmp_path: Path) -> None:
    change = replaced("bug/page-count", "paging.py", "entries // size + 1", "-(-entries // size)")
    verdict = await judged("bug/page-count", change, tmp_path)
    assert solved(verdict) == (True, True)
    assert all(check.strict for check in verdict.checks.values())
    assert verdict.note == ""


async def test_words_alone_are_worth_nothing(tmp_path: Path) -> None:
    verdict = await judged("bug/page-count", {}, tmp_path)
    assert solved(verdict) == (False, False)
    assert verdict.note == "No code was changed."


async def test_changed_tests_do_not_count(tmp_path: Path) -> None:
    tests = {
        "tests/test_paging.py": "def test_all():\n    assert True\n",
        "conftest.py": "collect_ignore = ['tests']\n",
        "paging.py": edits()["bug/page-count"].files["paging.py"] + "\n",
    }
    verdict = await judged("bug/page-count", tests, tmp_path)
    assert solved(verdict) == (False, False)
    assert not verdict.checks["tests_kept"].soft


async def test_a_right_change_with_changed_tests_is_softly_right(tmp_path: Path) -> None:
    change = replaced("bug/page-count", "paging.py", "entries // size + 1", "-(-entries // size)")
    tests = replaced("bug/page-count", "tests/test_paging.py", "== 2", "== 2  # pages")
    verdict = await judged("bug/page-count", {**change, **tests}, tmp_path)
    assert solved(verdict) == (False, True)
    assert verdict.note == "The tests that were given were changed."


@pytest.mark.parametrize(
    "cheat",
    [
        "import os; os._exit(0)",
        "import pytest; pytest.skip('later', allow_module_level=True)",
        "print('9 passed in 0.01s'); raise SystemExit(0)",
    ],
)
async def test_ending_or_skipping_the_tests_does_not_pass_them(tmp_path: Path, cheat: str) -> None:
    text = f"{edits()['bug/page-count'].files['paging.py']}\n{cheat}\n"
    verdict = await judged("bug/page-count", {"paging.py": text}, tmp_path)
    assert solved(verdict) == (False, False)


async def test_tests_alone_do_not_do_where_types_count(tmp_path: Path) -> None:
    edit = edits()["types/type-errors"]
    right = edit.solution.of(edit.files)
    wrong = right["library/books.py"].replace("dict[int, list[Book]]:", "dict[int, Book]:", 1)
    changes = {"library/loans.py": right["library/loans.py"], "library/books.py": wrong}
    verdict = await judged("types/type-errors", changes, tmp_path)
    assert solved(verdict) == (False, False)
    assert verdict.note == "There are type errors."


async def test_what_else_was_changed_is_noticed(tmp_path: Path) -> None:
    edit = edits()["refactor/rename-across"]
    after = edit.solution.of(edit.files)
    changes = {path: text for path, text in after.items() if edit.files[path] != text}
    clean = await judged("refactor/rename-across", {**changes, "tests/test_new.py": ""}, tmp_path)
    assert clean.checks["scope"].strict
    assert clean.measures["files_changed"] == 4
    other = edits()["imports/moved-helper"]
    right = other.solution.of(other.files)
    right["notes/text/words.py"] += "\n\nx = 1\n"
    loose = await judged("imports/moved-helper", right, tmp_path / "other")
    assert solved(loose) == (True, True)
    assert not loose.checks["scope"].soft
