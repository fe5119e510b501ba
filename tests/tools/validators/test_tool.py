import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from punie.tools.base import ReadLedger, ToolContext
from punie.tools.python.targets import Target
from punie.tools.validators import running
from punie.tools.validators.base import Validator
from punie.tools.validators.running import Outcome, load_validators, module_name, validate
from punie.workspace.base import TextFile
from punie.workspace.local import LocalWorkspace
from tests.tools.conftest import Bench

pytestmark = pytest.mark.anyio
PAGE = Path(__file__).parents[3] / "docs/validators.md"


async def test_rows(bench: Bench) -> None:
    bench.file("pkg/__init__.py", "")
    bench.file("pkg/work.py", "async def work(): ...\n")
    bench.file("pkg/use.py", "from pkg.work import work\n\nwork()\n")
    bench.file(".venv/bad.py", "import asyncio\nasyncio.create_task(x)\n")
    bench.file("env/pyvenv.cfg", "")
    bench.file("env/lib/bad.py", "import asyncio\nasyncio.create_task(x)\n")
    result = await bench.result("validate")
    assert result.text == (
        "pkg/use.py:3 async-not-awaited error: work is async and is not awaited "
        "(put await before the call)"
    )
    shown = result.presentation
    assert shown.title == "Validate the project: 1 issue"
    assert [(place.path, place.line) for place in shown.locations] == [
        (bench.root / "pkg/use.py", 3)
    ]
    # Another file is known although only this one is asked about.
    assert "pkg/use.py:3" in await bench.text("validate", path="pkg/use.py")
    assert await bench.text("validate", path="pkg/work.py") == "no issues in 1 file"


async def test_paths_and_texts_that_cannot_be_checked(bench: Bench) -> None:
    bench.file("broken.py", "def (:\n")
    (bench.root / "binary.py").write_bytes(b"\0\1")
    bench.file("a.txt", "")
    assert await bench.text("validate", path="a.txt") == "error: a.txt is not a Python file"
    bench.file("a.pkg/fine.py", "")
    assert await bench.text("validate", path="a.pkg") == "no issues in 1 file"
    assert "there is no file gone.py" in await bench.text("validate", path="gone.py")
    assert "there is no file or folder gone" in await bench.text("validate", path="gone")
    assert "outside the workspace" in await bench.text("validate", path="../x.py")
    text = await bench.text("validate")
    assert text == (
        "no issues in 2 files\n(1 file is too large or no text)\n(broken.py is not valid Python)"
    )


async def test_what_ignore_files_leave_out_is_not_checked(bench: Bench) -> None:
    bad = "import asyncio\nasyncio.create_task(x)\n"
    for path in ("generated/bad.py", "pkg/generated/bad.py", "out.py", "pkg/own.py"):
        bench.file(path, bad)
    bench.file(".gitignore", "generated/\n/out.py\n")
    text = await bench.text("validate")
    assert [row.split(":")[0] for row in text.splitlines()] == ["pkg/own.py"]
    # A file that is named is checked all the same.
    assert "out.py:2" in await bench.text("validate", path="out.py")


async def test_unsaved_text(bench: Bench) -> None:
    bench.file("a.py", "x = 1\n")

    class Unsaved(LocalWorkspace):
        async def read_text(self, path: Path) -> TextFile:
            file = await super().read_text(path)
            return TextFile(path, "import asyncio\nasyncio.create_task(f())\n", file.digest)

    bench = Bench(bench.root, ToolContext(Unsaved([bench.root]), ReadLedger()))
    assert "a.py:2 async-task-dropped" in await bench.text("validate")


async def test_many_issues_are_cut(bench: Bench) -> None:
    bench.file("a.py", "import asyncio\n" + "asyncio.create_task(f())\n" * 50)
    text = await bench.limited(result_chars=800).text("validate")
    assert len(text) <= 800
    assert text.endswith("of 50 issues; name a smaller path)")


async def test_time_is_limited(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "MAX_SECONDS", -1.0)
    bench.file("a.py", "")
    assert "1 file was not looked at for lack of time" in await bench.text("validate")


def test_module_names() -> None:
    assert module_name("src/pkg/mod.py") == ("pkg.mod", "pkg")
    assert module_name("pkg/__init__.py") == ("pkg", "pkg")
    assert module_name("a.py") == ("a", "")
    assert module_name("__init__.py") == ("", "")


def _point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, "punie.validators")


async def outcome_with(bench: Bench, *points: EntryPoint) -> Outcome:
    validators, notes = load_validators(points)
    whole = Target(bench.root, bench.root)
    return await validate(bench.context.workspace, whole, validators, notes)


async def test_validators_that_are_broken(bench: Bench, tmp_path: Path) -> None:
    bench.file("a.py", "import asyncio\nasyncio.create_task(f())\n")
    bench.file("b.py", "")
    failing = Validator("failing", "x", (), lambda module, project: [1 / 0])  # type: ignore[list-item]
    sys.modules["punie_failing"] = type(sys)("punie_failing")
    sys.modules["punie_failing"].one = failing  # type: ignore[attr-defined]
    sys.modules["punie_failing"].other = 1  # type: ignore[attr-defined]
    try:
        outcome = await outcome_with(
            bench,
            _point("a", "punie_failing:one"),
            _point("b", "punie_failing:other"),
            _point("c", "punie_failing:none"),
            _point("d", "punie_missing:x"),
        )
    finally:
        del sys.modules["punie_failing"]
    assert [found.issue.rule for found in outcome.found] == ["async-task-dropped"]
    assert outcome.notes == (
        "validator b is not a punie Validator",
        "validator c cannot be loaded: AttributeError: module 'punie_failing' has no attribute "
        "'none'",
        "validator d cannot be loaded: ModuleNotFoundError: No module named 'punie_missing'",
        "validator failing failed on a.py: ZeroDivisionError: division by zero",
    )


def _example() -> str:
    return PAGE.read_text().split("```python\n")[1].split("```")[0]


async def test_the_example_of_the_page_works_when_installed(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path_factory.mktemp("site")
    (site / "no_print.py").write_text(_example())
    info = site / "no_print-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: no-print\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[punie.validators]\nno_print = no_print:NO_PRINT\n")
    monkeypatch.syspath_prepend(str(site))
    bench.file("a.py", "def f():\n    print(1)\n\n\ndef g(print):\n    print(1)\n")
    bench.file("tests/a.py", "print(1)\n")
    assert await bench.text("validate") == (
        "a.py:2 no-print warning: print is called (use the logger)"
    )
    sys.modules.pop("no_print", None)


def test_the_page_has_all_rules() -> None:
    validators, _ = load_validators(())
    rules = [rule.name for validator in validators for rule in validator.rules]
    assert len(rules) == len(set(rules))
    rows = []
    for validator in validators:
        rows += [f"### {validator.title}", "", "| rule | | what it reports | instead |"]
        rows.append("| --- | --- | --- | --- |")
        rows += [
            f"| `{rule.name}` | {rule.severity} | {rule.meaning}. | {rule.suggestion} |"
            for rule in validator.rules
        ]
        rows.append("")
    # Dunder names would be bold, and tags would be tags.
    code = re.compile(r"__\w+__(?:\([^)]*\))?|<[^>]+>")
    expected = code.sub(lambda match: f"`{match[0]}`", "\n".join(rows).strip())
    page = PAGE.read_text()
    written = page.split("<!-- rules -->\n")[1].split("\n<!-- /rules -->")[0]
    assert written == expected, f"put this into docs/validators.md:\n\n{expected}"
