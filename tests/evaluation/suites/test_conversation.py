"""conversation: files decide whether what was said before was known."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from punie.evaluation.session import work_on
from punie.evaluation.suite import Compact, Reload, Say, Verdict
from punie.evaluation.suites.conversation import (
    CONVERSATION,
    FilesDecide,
    conversations,
    project,
)
from punie.evaluation.work import Executed, Work
from tests.evaluation.suites.works import InTurn, called, calls, saying, says, work_of

pytestmark = pytest.mark.anyio


def left(name: str, **other: str) -> dict[str, bytes]:
    files = {**conversations()[name].due.of(project()), **other}
    return {path: text.encode() for path, text in files.items()}


async def judged(name: str, files: Mapping[str, bytes], *executed: Executed) -> Verdict:
    work = replace(work_of("Done.", *executed), files=files)
    return await FilesDecide(conversations()[name])(work, Path())


def solved(verdict: Verdict) -> tuple[bool, bool]:
    return verdict.checks["solved"].strict, verdict.checks["solved"].soft


def test_every_conversation_ends_in_a_change_that_its_prompts_alone_do_not_tell() -> None:
    for name, conversation in conversations().items():
        said = [action for action in conversation.actions if isinstance(action, Say)]
        assert len(said) >= 2, name
        assert conversation.due.of(project()) != project()
        kinds = {type(action) for action in conversation.actions}
        wanted = {"compaction": {Compact}, "reload": {Reload}, "both": {Compact, Reload}}
        assert kinds - {Say} == wanted.get(name.partition("/")[0], set())


async def test_right_files_are_right() -> None:
    verdict = await judged("memory/port", left("memory/port"))
    assert solved(verdict) == (True, True)
    assert verdict.note == ""


async def test_layout_is_let_pass_softly() -> None:
    files = left("memory/convention")
    files["app/orders.py"] = files["app/orders.py"].replace(b"MAX_PIECES = 500", b"MAX_PIECES=500")
    assert solved(await judged("memory/convention", files)) == (False, True)


async def test_what_was_forgotten_is_wrong() -> None:
    old = project()["app/legacy.py"].replace("Ltd", "GmbH")
    files = left("memory/forbidden", **{"app/legacy.py": old})
    verdict = await judged("memory/forbidden", files)
    assert solved(verdict) == (False, False)
    assert verdict.note == "Not as wanted: app/legacy.py."
    nothing = {path: text.encode() for path, text in project().items()}
    for name in conversations():
        assert solved(await judged(name, nothing)) == (False, False), name


async def test_a_change_before_it_was_wanted_is_wrong() -> None:
    name = "correction/before-doing"
    edit = called("edit_file", {"path": "app/orders.py", "edits": []}, "ok")
    files = left(name)
    assert solved(await judged(name, files, edit)) == (True, True)
    work = replace(work_of("Done.", edit), files=files)
    later = saying(work, "Then let's do it.", "Done.")
    verdict = await FilesDecide(conversations()[name])(later, Path())
    assert solved(verdict) == (False, False)
    assert verdict.note == "Files were changed before that was wanted."


@pytest.mark.parametrize("name", ["memory/port", "compaction/summary", "both/go-on"])
async def test_a_conversation_is_really_had(name: str, tmp_path: Path) -> None:
    """A scripted model that does each change when it is asked for, with the product's tools."""
    steps: Mapping[str, Sequence[Sequence[tuple[str, str, str]]]] = {
        "memory/port": [[], [], [], [("config/server.toml", "8080", "7421")]],
        "both/go-on": [
            [("config/client.toml", "timeout = 10", "timeout = 40")],
            [("config/server.toml", "8080", "8090")],
            [("config/server.toml", "timeout = 15", "timeout = 40")],
        ],
    }
    responses = []
    for turn in steps.get(name, []):
        for path, old, new in turn:
            edits = [{"old_text": old, "new_text": new}]
            responses += [calls("read_file", path=path), calls("edit_file", path=path, edits=edits)]
        responses.append(says("Done."))
    if name == "compaction/summary":
        responses = [says(f"Answer {number}.") for number in range(5)]
        responses.append(says("Ines asks for the codename BLUE-HERON-58."))
        responses.append(calls("write_file", path="notes/codename.txt", content="BLUE-HERON-58\n"))
        responses.append(says("Done."))
    item = await CONVERSATION.item(name, tmp_path)
    root = tmp_path / "project"
    root.mkdir()
    item.prepare(root)
    work: Work = await work_on(item, InTurn(responses), root)
    assert work.trouble == ""
    verdict = await item.judge(work, root)
    assert all(check.strict for check in verdict.checks.values()), verdict
