"""Exercism's Python track: what a model is given, and what its work is worth."""

from pathlib import Path

import pytest

from punie.evaluation.errors import EvaluationError
from punie.evaluation.runner import run_suites
from punie.evaluation.suite import Check, Item, Say
from punie.evaluation.suites.external.exercism import Exercism
from punie.evaluation.suites.external.languages import PYTHON
from punie.evaluation.suites.external.opening import open_suite
from punie.evaluation.work import Work
from punie.models.scripted import Script, ScriptedCall, ScriptedModel, ScriptedResponse
from punie.training.data.example import Message
from punie.workspace.sandbox.detect import NoSandbox, find_sandbox
from tests.evaluation.suites.external.checkouts import (
    RIGHT,
    TRAM_FARE,
    WRONG,
    exercise,
    write_exercise,
    write_files,
    write_track,
)

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(isinstance(find_sandbox(), NoSandbox), reason="there is no sandbox here"),
]

DONE = Work((Message(role="user", content="…"),), {}, "end_turn")
FAILED = Check(strict=False, soft=False)


@pytest.fixture
def track(tmp_path: Path) -> Path:
    folder = tmp_path / "python"
    write_exercise(folder, "tram-fare", TRAM_FARE)
    return folder


async def tram_fare(track: Path, root: Path) -> Item:
    item = await Exercism(track).item("tram-fare", root.parent)
    root.mkdir()
    item.prepare(root)
    return item


async def test_a_model_sees_the_stub_and_no_test(track: Path, tmp_path: Path) -> None:
    write_track(track, {"tram-fare": 4})
    root = tmp_path / "project"
    item = await tram_fare(track, root)
    assert (item.name, item.kind) == ("tram-fare", "medium")
    assert [path.name for path in root.rglob("*")] == ["tram_fare.py"]
    (say,) = item.actions
    assert isinstance(say, Say)
    assert "Trams cross zones." in say.text
    assert "costs 2, and 1 more for each zone" in say.text
    assert "in Python, in tram_fare.py." in say.text


async def test_the_first_try_counts_strictly_and_the_second_softly(
    track: Path, tmp_path: Path
) -> None:
    root = tmp_path / "project"
    item = await tram_fare(track, root)
    (root / "tram_fare.py").write_text(WRONG)
    again = await item.more(DONE, root)
    assert again is not None
    assert "AssertionError: 3 != 6" in again.text
    assert "1 failed, 1 passed in …" in again.text
    assert str(tmp_path) not in again.text
    (root / "tram_fare.py").write_text(RIGHT)
    assert await item.more(DONE, root) is None
    verdict = await item.judge(DONE, root)
    assert verdict.checks == {"solved": Check(strict=False, soft=True)}
    assert "second try" in verdict.note

    # The same item, attempted once more.
    item.prepare(root)
    (root / "tram_fare.py").write_text(RIGHT)
    (root / "tariff.py").write_text("")
    assert await item.more(DONE, root) is None
    verdict = await item.judge(DONE, root)
    assert (verdict.checks, verdict.note) == ({"solved": Check.of(True)}, "")


async def test_a_model_that_was_kept_from_working_has_no_second_try(
    track: Path, tmp_path: Path
) -> None:
    root = tmp_path / "project"
    item = await tram_fare(track, root)
    stopped = Work(DONE.messages, {}, "end_turn", trouble="The engine failed.")
    assert await item.more(stopped, root) is None
    verdict = await item.judge(stopped, root)
    assert verdict.checks == {"solved": FAILED}
    assert verdict.note.startswith("The tests do not pass: 2 failed")


@pytest.mark.parametrize(
    "files",
    [
        {
            "tram_fare_test.py": "def test_it():\n    pass\n",
            "unittest.py": "class TestCase:\n    pass\n",
            "pytest/__main__.py": "print('2 passed')\n",
        },
        {"tram_fare.py": "import os\n\nos._exit(0)\n"},
        {"tram_fare.py": "import pytest\n\npytest.skip('no', allow_module_level=True)\n"},
    ],
    ids=["tests", "exit", "skip"],
)
async def test_what_is_no_solution_does_not_pass(
    track: Path, tmp_path: Path, files: dict[str, str]
) -> None:
    root = tmp_path / "project"
    item = await tram_fare(track, root)
    write_files(root, files)
    assert (await item.judge(DONE, root)).checks["solved"] == FAILED


def test_what_would_change_the_run_of_the_tests_is_no_part_of_a_solution() -> None:
    others = ("conftest.py", "pytest.ini", "unittest.py", "pytest/__main__.py")
    assert not [path for path in (*others, ".x.py", "notes.txt") if PYTHON.may_add(path)]
    assert PYTHON.may_add("tariff.py")
    assert PYTHON.may_add("trams/queue.py")


async def test_a_link_to_the_example_is_no_solution(track: Path, tmp_path: Path) -> None:
    root = tmp_path / "project"
    item = await tram_fare(track, root)
    (root / "tram_fare.py").unlink()
    (root / "tram_fare.py").symlink_to(track / "exercises/practice/tram-fare/.meta/example.py")
    assert (await item.judge(DONE, root)).checks["solved"] == FAILED


async def test_a_broken_exercise_says_what_is_wrong_and_others_go_on(
    track: Path, tmp_path: Path
) -> None:
    write_exercise(track, "no-task", {**TRAM_FARE, ".meta/config.json": '{"files": {}}'})
    write_exercise(track, "no-test", exercise(["a.py"], [], {"a.py": ""}))
    write_exercise(track, "lost", exercise(["a.py"], ["a_test.py"], {"a.py": ""}))
    write_exercise(track, "far", exercise(["../../a.py"], ["a_test.py"], {"a_test.py": ""}))
    write_exercise(track, "cut", {**TRAM_FARE, ".meta/config.json": '{"files"'})
    write_exercise(track, "old", TRAM_FARE)
    write_exercise(
        track, "mute", {**TRAM_FARE, ".docs/introduction.md": "", ".docs/instructions.md": "\n"}
    )
    write_track(track, {"tram-fare": 1, "old": {"status": "deprecated", "difficulty": 1}})
    suite = open_suite("exercism", track)
    assert list(suite.names()) == ["cut", "far", "lost", "mute", "no-task", "no-test", "tram-fare"]
    said = {}
    for name in suite.names()[:-1]:
        item = await suite.item(name, tmp_path)
        assert (item.name, item.actions) == (name, ())
        with pytest.raises(EvaluationError) as caught:
            await item.judge(DONE, tmp_path)
        said[name] = str(caught.value)
    assert said["cut"].startswith("The exercise cut has a broken .meta/config.json (")
    assert said["far"] == "The exercise far lists ../../a.py, which is outside of it."
    assert said["lost"] == "The exercise lost has no tests: a_test.py is missing."
    assert said["mute"] == "The exercise mute has no instructions in .docs."
    assert said["no-test"] == "The exercise no-test has no tests."
    assert said["no-task"] == "The exercise no-task lists no file to write the solution into."
    assert (await suite.item("tram-fare", tmp_path)).kind == "easy"


def test_a_wrong_checkout_is_named(track: Path, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"nowhere is not a folder; .* of exercism/python"):
        open_suite("exercism", tmp_path / "nowhere")
    with pytest.raises(EvaluationError, match=r"for the suite exercism: .* cannot be read"):
        open_suite("exercism", tmp_path)
    (tmp_path / "exercises" / "practice" / "empty").mkdir(parents=True)
    with pytest.raises(EvaluationError, match="no exercise is in"):
        open_suite("exercism", tmp_path)
    with pytest.raises(EvaluationError, match="No suite 'opera' takes a checkout; those that do"):
        open_suite("opera", tmp_path)
    write_files(track, {"config.json": '{"exercises": []}'})
    with pytest.raises(EvaluationError, match="not the list of a track's exercises"):
        open_suite("exercism", track)


def test_the_version_tells_checkouts_apart(track: Path) -> None:
    before = Exercism(track).version
    assert before == Exercism(track).version
    assert before // 10**8 == 2
    write_exercise(track, "tram-fare", {"tram_fare_test.py": "# other\n"})
    assert Exercism(track).version != before


def writes(text: str) -> ScriptedResponse:
    arguments = {"path": "tram_fare.py", "content": text}
    return ScriptedResponse(calls=(ScriptedCall(tool="write_file", arguments=arguments),))


async def test_a_model_that_learns_from_the_tests_solves_it_softly(track: Path) -> None:
    write_exercise(track, "no-test", exercise(["a.py"], [], {"a.py": ""}))
    done = ScriptedResponse(text="All tests pass.")
    model = ScriptedModel(Script(responses=(writes(WRONG), done, writes(RIGHT), done)))
    broken, solved = await run_suites(model, [open_suite("exercism", track)])
    assert solved.solved == Check(strict=False, soft=True)
    assert [m.role for m in solved.messages].count("user") == 2
    assert "AssertionError: 3 != 6" in solved.messages[4].content
    assert (broken.item, broken.solved, broken.messages) == ("no-test", FAILED, ())
    assert "The exercise no-test has no tests" in broken.trouble


async def test_a_model_that_only_says_so_does_not_solve_it(track: Path) -> None:
    model = ScriptedModel(Script(responses=(ScriptedResponse(text="All tests pass."),)))
    (result,) = await run_suites(model, [open_suite("exercism", track)])
    assert (result.solved, result.trouble) == (FAILED, "")


async def test_a_model_cannot_look_for_the_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Commands see the home folder and nothing else of the folder for temporary files.
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    track = tmp_path / "home" / "python"
    write_exercise(track, "tram-fare", TRAM_FARE)
    write_track(track, {"tram-fare": 1})
    search = f"cat {track}/exercises/practice/*/.meta/example.py; find {track} -type f; echo done"
    looks = ScriptedCall(tool="run_command", arguments={"command": search})
    done = ScriptedResponse(text="Done.")
    model = ScriptedModel(Script(responses=(ScriptedResponse(calls=(looks,)), done)))
    (result,) = await run_suites(model, [open_suite("exercism", track)])
    said = result.messages[2].content
    assert "python/config.json\n" in said
    assert "return 2 + zones" not in said
    assert "tram_fare_test.py" not in said
