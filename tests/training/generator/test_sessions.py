"""Training sessions: what teachers do is real, repeatable, and free of held-out words."""

import json
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from punie.tools.base import ReadLedger, ToolContext
from punie.training.generator.answers import DENIED
from punie.training.generator.generate import (
    LIMITS,
    add_context,
    follow_teacher,
    generate,
    make_sessions,
)
from punie.training.generator.names import _HELD_OUT, _WORDS, Names
from punie.training.generator.phrasing import PHRASES, choose
from punie.training.generator.projects import Constant, Project, make_project
from punie.training.generator.scenarios import TaskMaker, make_task
from punie.workspace.local import LocalWorkspace


def test_the_same_seed_gives_the_same_sessions() -> None:
    first = list(generate(6, seed=5, held_out=False, workers=1))
    assert first == list(generate(6, seed=5, held_out=False, workers=1))
    assert first != list(generate(6, seed=6, held_out=False, workers=1))
    for line in first:
        roles = [message["role"] for message in json.loads(line)["messages"]]
        assert roles[0] == "user"
        assert roles[-1] == "assistant"


def test_training_never_sees_a_held_out_word_or_phrase() -> None:
    assert not set(_WORDS) & set(_HELD_OUT)
    rng = Random(1)
    assert not {Names(rng).word() for _ in range(4_000)} & set(_HELD_OUT)
    for phrases in PHRASES.values():
        assert phrases[-1] not in {choose(rng, phrases) for _ in range(400)}
        assert choose(rng, phrases, held_out=True) == phrases[-1]


def test_names_in_a_project_lead_to_one_place_only() -> None:
    for seed in range(60):
        project = make_project(Random(seed))
        text = "\n".join(project.files.values())
        for name in (*project.functions, *project.classes):
            assert text.count(f"def {name}(") + text.count(f"class {name}:") == 1


@pytest.mark.anyio
async def test_teachers_leave_what_they_say(tmp_path: Path) -> None:
    solved = 0
    for seed in range(25):
        rng = Random(seed)
        project = make_project(rng)
        if not project.constants:
            continue
        maker = TaskMaker(rng, Names(rng), project)
        project.write(tmp_path)
        context = ToolContext(LocalWorkspace([tmp_path]), ReadLedger(), LIMITS, check_edits=False)
        task = maker.set_constant()
        transcript = await follow_teacher(task, context)
        assert [call.tool for call in transcript.calls] == ["search", "edit_file"]
        edit = transcript.calls[1].arguments
        assert edit["edits"][0]["new_text"] in (tmp_path / edit["path"]).read_text().splitlines()
        solved += 1
    assert solved > 10


def test_a_project_without_folders_is_no_obstacle() -> None:
    constant = Constant("LIMIT", "3", "a.py")
    project = Project({"a.py": "LIMIT = 3\n"}, {}, {}, [constant], [])
    rng = Random(1)
    maker = TaskMaker(rng, Names(rng), project)
    assert len({make_task(maker).kind for _ in range(300)}) > 10


@pytest.mark.anyio
async def test_a_denied_call_changes_nothing_and_is_reported(tmp_path: Path) -> None:
    rng = Random(3)
    project = make_project(rng)
    project.write(tmp_path)
    task = TaskMaker(rng, Names(rng), project).write()
    context = ToolContext(LocalWorkspace([tmp_path]), ReadLedger(), LIMITS)
    transcript = await follow_teacher(task, context, deny=True)
    assert transcript.answer == DENIED
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()} == set(
        project.files
    )


@pytest.mark.anyio
async def test_sessions_end_with_an_answer_from_real_results(tmp_path: Path) -> None:
    sessions = await make_sessions(11, 20, tmp_path, held_out=True)
    assert len(sessions) == 20
    for _, messages in sessions:
        for before, after in pairwise(messages):
            if before.get("tool_calls"):
                assert after["role"] == "tool"
                assert after["content"]


def test_context_of_the_ide_keeps_the_request() -> None:
    rng = Random(2)
    project = make_project(rng)
    prompts = {add_context(rng, "List the files", project) for _ in range(300)}
    assert all(prompt.startswith("List the files") for prompt in prompts)
    assert len(prompts) > 3
