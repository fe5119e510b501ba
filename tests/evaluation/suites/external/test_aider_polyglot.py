"""Aider's polyglot benchmark: exercises in several languages, as far as they can be run here."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from punie.evaluation.errors import EvaluationError
from punie.evaluation.suite import Check, Say
from punie.evaluation.suites.external.aider_polyglot import AiderPolyglot
from punie.evaluation.suites.external.exercises import read_exercise
from punie.evaluation.suites.external.grading import missing_for
from punie.evaluation.suites.external.languages import CPP, GO, JAVASCRIPT, PYTHON, RUST, Language
from punie.evaluation.suites.external.opening import open_suite
from punie.evaluation.work import Work
from punie.training.data.example import Message
from punie.workspace.sandbox.detect import NoSandbox, find_sandbox
from tests.evaluation.suites.external.checkouts import (
    RIGHT,
    TRAM_FARE,
    exercise,
    write_exercise,
    write_files,
)

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(isinstance(find_sandbox(), NoSandbox), reason="there is no sandbox here"),
]

DONE = Work((Message(role="user", content="…"),), {}, "end_turn")
CARGO = '[package]\nname = "fare"\nversion = "1.0.0"\nedition = "2021"\n'
RUST_FARE = exercise(
    ["src/lib.rs", "Cargo.toml"],
    ["tests/fare.rs"],
    {
        "Cargo.toml": CARGO,
        "src/lib.rs": "pub fn fare(_zones: u32) -> u32 {\n    todo!()\n}\n",
        "tests/fare.rs": (
            "use fare::fare;\n\n#[test]\nfn one() {\n    assert_eq!(fare(1), 3);\n}\n\n"
            "#[test]\n#[ignore]\nfn four() {\n    assert_eq!(fare(4), 6);\n}\n"
        ),
    },
)


async def test_python_exercises_are_items_named_by_language(tmp_path: Path) -> None:
    checkout = tmp_path / "polyglot"
    write_exercise(checkout / "python", "tram-fare", TRAM_FARE)
    write_exercise(checkout / "rust", "fare", RUST_FARE)
    write_exercise(checkout / "java", "fare", TRAM_FARE)
    suite = open_suite("aider-polyglot", checkout)
    assert list(suite.names()) == ["java/fare", "python/tram-fare", "rust/fare"]
    assert suite.left_out.startswith("Exercises in Java are not run: Gradle works in a folder")
    item = await suite.item("python/tram-fare", tmp_path)
    assert (item.name, item.kind) == ("python/tram-fare", "python")
    root = tmp_path / "project"
    root.mkdir()
    item.prepare(root)
    (root / "tram_fare.py").write_text(RIGHT)
    assert (await item.judge(DONE, root)).checks == {"solved": Check.of(True)}
    with pytest.raises(EvaluationError, match="in Java are not run: Gradle works in a folder"):
        await (await suite.item("java/fare", tmp_path)).judge(DONE, tmp_path)


def rust_works() -> bool:
    """Tell whether there is a Rust; what is on PATH may only look for one in the home folder."""
    if shutil.which("cargo") is None:
        return False
    return subprocess.run(["cargo", "--version"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not rust_works(), reason="no Rust is installed for this home folder")
async def test_all_tests_of_other_languages_count(tmp_path: Path) -> None:
    checkout = tmp_path / "polyglot"
    write_exercise(checkout / "rust", "fare", RUST_FARE)
    item = await AiderPolyglot(checkout).item("rust/fare", tmp_path)
    root = tmp_path / "project"
    root.mkdir()
    item.prepare(root)
    assert {path.name for path in root.rglob("*.*")} == {"Cargo.toml", "lib.rs"}
    assert isinstance(item.actions[0], Say)
    assert "in Rust, in src/lib.rs." in item.actions[0].text
    # Right for the one test that is not switched off in the track; and the build is not its own.
    write_files(root, {"src/lib.rs": "pub fn fare(_zones: u32) -> u32 {\n    3\n}\n"})
    write_files(root, {"Cargo.toml": CARGO + "autotests = false\n"})
    again = await item.more(DONE, root)
    assert again is not None
    assert "test result: FAILED. 1 passed; 1 failed" in again.text
    write_files(root, {"src/lib.rs": "pub fn fare(zones: u32) -> u32 {\n    2 + zones\n}\n"})
    assert (await item.judge(DONE, root)).checks["solved"] == Check(strict=False, soft=True)


async def test_what_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / "polyglot"
    write_exercise(checkout / "rust", "fare", RUST_FARE)
    spec = exercise(["fare.js"], ["fare.spec.js"], {"fare.js": "", "fare.spec.js": ""})
    write_exercise(checkout / "javascript", "fare", spec)
    tools = tmp_path / "bin"
    for name in ("bash", "node"):
        write_files(tools, {name: "#!/bin/sh\n"})
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    suite = AiderPolyglot(checkout)
    rust = replace(RUST, programs=("bash", "no-such-cargo"))
    found = read_exercise("rust/fare", checkout / "rust/exercises/practice/fare", rust)
    assert await missing_for(found) == "no-such-cargo, which is not installed"
    with pytest.raises(EvaluationError, match=r"JavaScript need node_modules in .*; install them"):
        await (await suite.item("javascript/fare", tmp_path)).judge(DONE, tmp_path)
    (checkout / "javascript" / "node_modules").mkdir()
    assert len((await suite.item("javascript/fare", tmp_path)).actions) == 1


def test_tests_are_switched_on() -> None:
    spec = b"xtest('a', () => {});\nxit('b');\nxdescribe('c');\nmaxit(1);\n"
    shown = b"test('a', () => {});\nit('b');\ndescribe('c');\nmaxit(1);\n"
    assert JAVASCRIPT.switched_on(spec) == shown
    assert PYTHON.switched_on(spec) == spec


@pytest.mark.parametrize(
    ("language", "output", "passed"),
    [
        (GO, "=== RUN   TestFare\n--- PASS: TestFare (0.00s)\nok  \tfare\t0.002s\n", True),
        # A program that ends itself with success before any test.
        (GO, "ok  \tfare\t0.002s\n", False),
        (GO, "FAIL\tfare [build failed]\n", False),
        (CPP, "===\nAll tests passed (4 assertions in 2 test cases)\n", True),
        (CPP, "test cases: 2 | 1 passed | 1 failed\n", False),
        (JAVASCRIPT, "Tests:       3 passed, 3 total\n", True),
        (JAVASCRIPT, "Tests:       3 skipped, 0 total\n", False),
        (RUST, "test result: ok. 0 passed; 0 failed; 0 ignored\n", False),
    ],
)
def test_tests_that_pass_say_so(language: Language, output: str, passed: bool) -> None:
    assert language.says_passed(output) is passed


def test_a_wrong_checkout_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="it has no folder such as python/exercises/practice"):
        open_suite("aider-polyglot", tmp_path)


def test_the_version_counts_every_language(tmp_path: Path) -> None:
    write_exercise(tmp_path / "python", "tram-fare", TRAM_FARE)
    before = AiderPolyglot(tmp_path).version
    folder = write_exercise(tmp_path / "rust", "fare", RUST_FARE)
    two = AiderPolyglot(tmp_path).version
    write_files(folder, {".docs/instructions.md": "Something else.\n"})
    assert len({before, two, AiderPolyglot(tmp_path).version}) == 3
