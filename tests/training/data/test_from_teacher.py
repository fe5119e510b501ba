import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import ValidationError

from punie.evaluation.held_out import due_of, project_folder, teacher_failed
from punie.evaluation.outcomes import Due
from punie.evaluation.session import passes_tests
from punie.evaluation.work import Work
from punie.models.catalog import bundled_directory
from punie.models.mlx.chat_format import ChatFormat
from punie.settings import Settings, load_settings
from punie.training.data import from_teacher as module
from punie.training.data.dataset import Dataset
from punie.training.data.example import Message
from punie.training.data.from_teacher import (
    FromTeacherOptions,
    from_teacher,
    pose_task,
    why_not_verified,
)
from punie.training.data.sequences import training_sequences
from punie.training.errors import TrainingError
from punie.training.generator.presets import preset
from punie.training.progress import Interrupted, Progress
from tests.openai_server import Answer, OpenAIServer, calls, says, serve_openai

# The bundled model reads and writes few tokens.
OPTIONS = FromTeacherOptions(
    tasks=4, preset="tiny", seed=3, answers="exact", result_chars=1200, max_tokens=400
)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PUNIE_CONFIG_DIR", str(tmp_path / "config"))
    return load_settings(state_dir=tmp_path / "state")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    place = tmp_path_factory.mktemp("teacher")
    settings = Settings(state_dir=place / "state")
    return from_teacher(OPTIONS, "punie-tiny", settings, place / "out")


def test_what_the_teacher_did_right_becomes_examples(made: Dataset, tmp_path: Path) -> None:
    examples = [*made.examples("all")]
    dropped = made.manifest.recipe["dropped"]
    assert len(examples) + sum(dropped.values()) == OPTIONS.tasks
    assert len(examples) >= 2
    assert {file.name for file in made.folder.iterdir()} == {"all.jsonl", "dataset.json"}
    chat_format = ChatFormat.load(bundled_directory())
    for example in examples:
        assert (example.source, example.executed, example.checked) == ("teacher", True, "files")
        assert example.messages[-1].role == "assistant"
        assert training_sequences(chat_format, example, made.prefix(example))
        assert str(tmp_path.parent.parent) not in example.model_dump_json()
    assert made.manifest.parents["teacher"]


def test_stopped_and_one_by_one_it_comes_to_the_same_as_side_by_side(
    made: Dataset, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = 0

    def note(progress: Progress) -> None:
        nonlocal done
        done = int(progress.done)

    out = tmp_path / "out"
    options = OPTIONS.model_copy(update={"parallel": 1})
    with pytest.raises(Interrupted, match=r"Stopped after [123] of 4 tasks, which are kept"):
        from_teacher(options, "punie-tiny", settings, out, note, lambda: done >= 1)
    assert not out.exists()
    unfinished = out.with_name(".out.unfinished") / "tasks.jsonl"
    with unfinished.open("a") as file:
        file.write('{"task": 3, "exam')  # as a kill leaves it
    kept = done
    posed: list[int] = []
    pose = module.pose_task

    def noted(options: FromTeacherOptions, number: int) -> Any:
        posed.append(number)
        return pose(options, number)

    monkeypatch.setattr(module, "pose_task", noted)
    resumed = from_teacher(options, "punie-tiny", settings, out)
    assert sorted({*posed[1:]}) == [*range(kept, 4)]
    assert resumed.file("all").read_bytes() == made.file("all").read_bytes()
    assert resumed.manifest == made.manifest


def test_tasks_are_of_the_families_that_are_wanted(tmp_path: Path, settings: Settings) -> None:
    options = FromTeacherOptions(preset="tiny", weights={"move": 1e9})
    kinds = [pose_task(options, number).task.kind for number in range(20)]
    assert "move" in kinds
    assert not set(kinds) & set(preset("tiny").tool_weights)
    unknown = FromTeacherOptions(preset="tiny", weights={"juggling": 1})
    with pytest.raises(TrainingError, match="no family 'juggling'"):
        from_teacher(unknown, "punie-tiny", settings, tmp_path / "out")


def reading_task(seed: int) -> tuple[str, str, int]:
    """The prompt of a task that reads a whole file, the file's path and its number of lines."""
    posed = pose_task(FromTeacherOptions(preset="tiny", seed=seed), 0)
    assert posed.task.kind == "read"
    path = next(path for path in posed.project.files if path in posed.prompt)
    return posed.prompt, path, posed.project.files[path].count("\n")


def seed_of_reading() -> int:
    return next(
        seed
        for seed in range(1000)
        if (posed := pose_task(FromTeacherOptions(preset="tiny", seed=seed), 0)).task.kind == "read"
        and posed.prompt.count("@") == 0
        and sum(path in posed.prompt for path in posed.project.files) == 1
    )


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("It has {lines} lines, `{path}` does.", None),
        ("It has {lines}0 lines, `{path}` does.", "the answer lacks what is due"),
        ("", "no answer"),
    ],
)
def test_a_model_on_a_server_can_be_the_teacher(
    tmp_path: Path, settings: Settings, answer: str, reason: str | None
) -> None:
    seed = seed_of_reading()
    _, path, lines = reading_task(seed)
    read = calls("read_file", json.dumps({"path": path}))
    told = says(answer.format(lines=lines, path=path))
    with serve_openai(OpenAIServer([read, told])) as server:
        served = settings.model_copy(update={"openai_url": server.url, "openai_context": 32_768})
        options = FromTeacherOptions(tasks=1, preset="tiny", seed=seed)
        if reason is not None:
            with pytest.raises(TrainingError, match=reason):
                from_teacher(options, "openai:tiny", served, tmp_path / "out")
            return
        dataset = from_teacher(options, "openai:tiny", served, tmp_path / "out")
    (example,) = dataset.examples("all")
    assert [call.name for call in example.calls] == ["read_file"]
    assert dataset.manifest.parents == {"teacher": "openai:tiny"}


def test_calls_are_judged_too(tmp_path: Path, settings: Settings) -> None:
    seed = seed_of_reading()
    _, path, lines = reading_task(seed)
    told = says(f"`{path}` has {lines} lines.")
    write = calls("write_file", json.dumps({"path": "more.txt", "content": "x"}))
    cases: Sequence[tuple[Sequence[Any], str]] = [
        ([told], "it answered without looking"),
        ([calls("open_file", "{}"), told], "a call did not run"),
        ([write, told], "the files are not as due"),
    ]
    for number, (answers, reason) in enumerate(cases):
        with serve_openai(OpenAIServer([*answers])) as server:
            served = settings.model_copy(
                update={"openai_url": server.url, "openai_context": 32_768}
            )
            with pytest.raises(TrainingError, match=f"solved none of 1 tasks .*{reason}"):
                from_teacher(
                    FromTeacherOptions(tasks=1, preset="tiny", seed=seed),
                    "openai:tiny",
                    served,
                    tmp_path / str(number),
                )


def test_a_teacher_that_fails_again_and_again_is_given_up(
    tmp_path: Path, settings: Settings
) -> None:
    down = Answer(status=400, body={"error": {"message": "out of order"}})
    with serve_openai(OpenAIServer([down])) as server:
        served = settings.model_copy(update={"openai_url": server.url, "openai_context": 32_768})
        with pytest.raises(TrainingError, match=r"The teacher failed [5-8] times in a row"):
            from_teacher(
                FromTeacherOptions(tasks=20, preset="tiny"), "openai:tiny", served, tmp_path / "out"
            )


@pytest.mark.anyio
async def test_tasks_in_code_mode_have_its_tool_alone(tmp_path: Path) -> None:
    options = FromTeacherOptions(seed=1)
    posed = next(p for p in (pose_task(options, n) for n in range(400)) if p.task.code)
    assert posed.code
    async with project_folder(posed.project, tmp_path / "due", posed.task.before) as root:
        due = await due_of(posed.task, root, preset(options.preset))
    assert {call.name for call in due.calls} == {"run_code"}
    assert not teacher_failed(posed.task, posed.project, due)


def test_tries_that_would_all_be_the_same_are_refused() -> None:
    with pytest.raises(ValidationError, match="attempts needs a temperature above 0"):
        FromTeacherOptions(attempts=2)


def test_other_changes_are_right_where_the_projects_tests_say_so() -> None:
    said = (Message(role="user", content="Fix it"), Message(role="assistant", content="Done."))
    before = {"a.py": b"x = 1", "tests/test_a.py": b"assert True"}
    due = Due((), "Done.", before)
    work = Work(said, {**before, "a.py": b"x = 2"}, "end_turn")
    assert why_not_verified(due, work) == "the files are not as due"
    assert why_not_verified(due, work, tests=True) is None
    assert why_not_verified(due, work, tests=False) == "the tests do not pass"
    cheated = replace(work, files={**before, "tests/test_a.py": b"assert 1"})
    assert why_not_verified(due, cheated, tests=True) == "it changed the tests"


@pytest.mark.anyio
async def test_a_projects_tests_are_run(tmp_path: Path) -> None:
    verdicts: dict[str, bool] = {}

    async def run(name: str, wrong: int) -> None:
        root = tmp_path / name
        root.mkdir()
        (root / "test_a.py").write_text(f"def test_a():\n    assert 1 + 1 == 2 + {wrong}\n")
        verdicts[name] = await passes_tests(root)

    async with anyio.create_task_group() as group:
        group.start_soon(run, "right", 0)
        group.start_soon(run, "wrong", 1)
    assert verdicts == {"right": True, "wrong": False}
