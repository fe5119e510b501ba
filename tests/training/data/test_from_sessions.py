import json
import subprocess
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic_ai.messages import ModelMessage

from punie.agent.events import Compacted, PromptText, TurnEnded, UserMessage
from punie.models.catalog import resolve_model
from punie.models.load import close_models, open_model
from punie.models.mlx.chat.messages import chat_messages
from punie.models.mlx.engine import Engine
from punie.models.mlx.generation import GenerateRequest
from punie.models.mlx.model import MlxModel
from punie.settings import Settings, SettingsError, load_settings, user_settings_file
from punie.tools.base import ToolLimits
from punie.training.data.dataset import Dataset
from punie.training.data.example import Example
from punie.training.data.from_sessions import (
    Collected,
    FromSessionsOptions,
    collect,
    from_sessions,
)
from punie.training.data.sequences import training_sequences
from punie.training.data.validation import validate_dataset
from punie.training.errors import TrainingError
from tests.training.stored_sessions import StoredSession, says, use

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PUNIE_CONFIG_DIR", str(tmp_path / "config"))
    user_settings_file().parent.mkdir()
    user_settings_file().write_text("learn_from_sessions = true\n")
    return load_settings(state_dir=tmp_path / "state")


@pytest.fixture
async def session(tmp_path: Path, settings: Settings) -> AsyncIterator[StoredSession]:
    project = tmp_path / "project"
    project.mkdir()
    (project / "a.py").write_text("x = 1\n")
    opened = StoredSession(settings, project)
    yield opened
    await opened.aclose()


async def taken(session: StoredSession, **options: Any) -> Collected:
    """What is taken of the stored sessions."""
    chosen = FromSessionsOptions(**options)
    return await anyio.to_thread.run_sync(collect, chosen, session.settings)


async def only(session: StoredSession, **options: Any) -> Example:
    (example,) = (await taken(session, **options)).examples.values()
    return example


READ = use("read_file", path="a.py")


async def test_the_messages_are_those_that_the_model_was_asked_with(session: StoredSession) -> None:
    await session.turn("What is in a.py?", READ, says("It sets x to 1."))
    await session.turn("And now?", use("list_dir", path="."), READ, says("Still 1."))
    example = await only(session)
    assert (example.source, example.executed, example.checked) == ("session", True, "")
    assert example.context == 0
    messages = shown(example)
    for asked in session.requests:
        assert messages[: len(told(asked))] == told(asked)
    assert [m["content"] for m in messages][-1] == "Still 1."


def shown(example: Example) -> list[dict[str, Any]]:
    """The messages of an example as JSON has them."""
    messages: list[dict[str, Any]] = json.loads(json.dumps(example.chat()))
    return messages


def told(asked: Sequence[ModelMessage]) -> list[dict[str, Any]]:
    """What the model was asked with, in the form that examples have."""
    messages = chat_messages(asked, None)
    for message in messages:
        if calls := message.pop("tool_calls", None):
            message["tool_calls"] = [{"function": call} for call in calls]
    return messages


async def test_training_reads_the_tokens_that_the_engine_was_given(
    session: StoredSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[int]] = []
    generate = Engine.generate

    def noted(engine: Engine, request: GenerateRequest) -> Any:
        if request.max_tokens:
            asked.append([*request.tokens])
        return generate(engine, request)

    monkeypatch.setattr(Engine, "generate", noted)
    model = await open_model(resolve_model(None))
    assert isinstance(model, MlxModel)
    try:
        await session.turn_with(model, "Read a.py")
        await session.turn_with(model, "Thanks!")
    finally:
        await close_models()
    found = await taken(session)
    (example,) = found.examples.values()
    (sequence,) = training_sequences(model.chat_format, example, found.prefixes[example.prefix])
    assert len(asked) >= 3
    for tokens in asked:
        assert sequence.ids[: len(tokens)] == tokens
        assert sequence.learned[len(tokens)]
        assert not sequence.learned[len(tokens) - 1]


async def test_turns_that_were_not_accepted_are_read_and_not_learned(
    session: StoredSession,
) -> None:
    await session.turn("What is in a.py?", READ, says("x."))
    session.mode, session.answer = "ask", "reject_once"
    await session.turn("Change it", use("write_file", path="b.py", content="1"), says("No."))
    session.mode = "auto"
    await session.turn("Break", use("no_such_tool"), says("Hm."))
    await session.turn("Say nothing", says(""))
    await session.turn("And now?", READ, says("Still x."))
    found = await taken(session)
    first, second = found.examples.values()
    assert dict(found.dropped) == {
        "a permission was denied": 1,
        "a call did not run": 1,
        "no answer": 1,
    }
    assert first.context == 0
    assert len(first.messages) == 4
    learned = second.messages[second.context :]
    assert [m.content for m in learned if m.role in ("user", "assistant")] == [
        "And now?",
        "",
        "Still x.",
    ]
    asked = told(session.requests[-1])
    assert shown(second)[: len(asked)] == asked


async def test_what_is_taken_is_sound_whatever_happened_before(session: StoredSession) -> None:
    await session.turn("Break", use("no_such_tool", x=1), says("Hm."))
    await session.turn("Say nothing", says(""))
    await session.turn("And now?", READ, says("Still x."))
    await session.emit(Compacted(dropped=3, summary="(They read a.py.)"))
    await session.turn("Read it by hand", use("read_file", path="a.py", start_line=None), says("x"))
    await session.turn("Once more", READ, says("Still x, as ever."))
    found = await taken(session)
    assert found.dropped["a call had to be repaired"] == 1
    assert found.dropped["a call or message that cannot be learned as it stands"] == 0
    assert [e.messages[-1].content for e in found.examples.values()] == [
        "Still x.",
        "Still x, as ever.",
    ]
    options = FromSessionsOptions()
    out = session.project.parent / "out"
    dataset = await anyio.to_thread.run_sync(from_sessions, options, session.settings, out)
    assert validate_dataset(dataset).valid


@pytest.mark.parametrize("reason", ["cancelled", "max_tokens", "refusal", "max_turn_requests"])
async def test_a_turn_counts_only_if_it_ended_by_itself(
    session: StoredSession, reason: Any
) -> None:
    message = UserMessage(message_id="1", blocks=(PromptText(text="Go"),), text="Go")
    await session.emit(message)
    await session.emit(TurnEnded(stop_reason=reason))
    found = await taken(session)
    assert not found.examples
    assert dict(found.dropped) == {f"ended by {reason}": 1}


async def test_a_turn_that_was_killed_ends_the_taking(session: StoredSession) -> None:
    await session.turn("What is in a.py?", READ, says("x."))
    await session.turn("Again", READ, says("x."))
    killed = StoredSession(session.settings, session.project)
    for event in session.events[:-1]:
        if event.kind != "tool_finished":
            await killed.emit(event)
    await killed.turn("And now?", READ, says("Still x."))
    found = await taken(session)
    assert len(found.examples) == 1
    assert dict(found.dropped) == {"interrupted": 1}
    await killed.aclose()


async def test_what_was_undone_is_not_learned(session: StoredSession) -> None:
    edit = use("edit_file", path="a.py", edits=[{"old_text": "x = 1", "new_text": "x = 2"}])
    await session.turn("Make x 2", READ, edit, says("Done."))
    kept = await only(session)
    assert kept.checked == "person"
    await session.undo()
    found = await taken(session)
    assert not found.examples
    assert dict(found.dropped) == {"undone": 1}


async def test_edits_that_are_gone_are_not_learned_unless_a_commit_has_them(
    session: StoredSession,
) -> None:
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=n", "-c", "user.email=e@example.org")
        subprocess.run(("git", *who, *arguments), cwd=session.project, check=True)

    file = session.project / "a.py"
    file.write_text("".join(f"x{n} = {n}\n" for n in range(20)))
    edit = use("edit_file", path="a.py", edits=[{"old_text": "x3 = 3", "new_text": "y = 4\nz = 5"}])
    await session.turn("Change x3", READ, edit, says("Done."))
    left = file.read_text()
    file.write_text(left.replace("x9 = 9\n", "").replace("z = 5", "z  =  5  # five"))
    assert (await only(session)).checked == "person"  # most of what it changed is there
    file.write_text("nothing = 0\n")
    assert dict((await taken(session)).dropped) == {"the edits were not kept": 1}
    git("init", "-q")
    git("add", "a.py")
    git("commit", "-q", "-m", "later")
    assert not (await taken(session)).examples  # another content was committed
    file.write_text(left)
    git("commit", "-q", "-a", "-m", "kept")
    file.write_text("nothing = 0\n")
    assert (await only(session)).checked == "person"
    session.project.rename(session.project.with_name("moved"))
    assert (await only(session)).checked == ""  # nothing tells
    assert not (await taken(session, kept_only=True)).examples


async def test_compaction_begins_another_conversation(session: StoredSession) -> None:
    await session.turn("What is in a.py?", READ, says("x."))
    await session.emit(Compacted(dropped=2, summary="(They read a.py.)"))
    await session.turn("And now?", READ, says("Still x."))
    first, second = (await taken(session)).examples.values()
    assert [m.content for m in first.messages][-1] == "x."
    asked = told(session.requests[-1])
    assert shown(second)[: len(asked)] == asked
    assert second.context == len(asked) - 3
    assert second.messages[0].content == "(They read a.py.)"


async def test_nothing_is_taken_of_what_a_secret_file_was_part_of(session: StoredSession) -> None:
    (session.project / ".env").write_text("API_KEY=Zq8vT2mXw4\nPLAIN=kept-in-here-too\n")
    await session.turn("What is in a.py?", READ, says("x."))
    await session.turn("Read .env", use("run_command", command="cat .env"), says("It has a key."))
    await session.turn("And now?", READ, says("Still x."))
    found = await taken(session)
    (example,) = found.examples.values()
    assert example.messages[-1].content == "x."
    assert "Zq8vT2mXw4" not in str(found.examples)


async def test_secrets_and_the_user_are_masked(session: StoredSession) -> None:
    (session.project / "config").mkdir()
    (session.project / "config" / "prod.env").write_text("OTHER=Zq8vT2mXw4\n")
    (session.project / "a.py").write_text(
        "password = 'Tr0ub4dor&3'\nhome = '/home/alice/x'\nother = 'Zq8vT2mXw4'\n"
    )
    await session.turn("Log in as /Users/alice/me", READ, says("See /home/alice/x."))
    text = json.dumps((await only(session)).chat())
    assert "Tr0ub4dor" not in text
    assert "Zq8vT2mXw4" not in text
    assert "alice" not in text
    assert "See /home/user/x." in text


async def test_what_the_model_wrote_is_not_learned_with_a_mask_in_it(
    session: StoredSession,
) -> None:
    write = use("write_file", path="b.py", content="password = 'Tr0ub4dor&3'\n")
    await session.turn("Write my password", write, says("Done."))
    found = await taken(session)
    assert dict(found.dropped) == {"the model wrote a secret": 1}


async def test_sessions_are_chosen_by_project_and_time(session: StoredSession) -> None:
    await session.turn("Hi", says("Hello."))
    other = StoredSession(session.settings, session.project.parent)
    await other.turn("Hey", says("Hello there."))
    await other.aclose()
    assert len((await taken(session)).examples) == 2
    inside = await only(session, include=(session.project,))
    outside = await only(session, exclude=(session.project,))
    assert (inside.query, outside.query) == ("Hi", "Hey")
    assert inside.project != outside.project
    now = datetime.now(UTC)
    assert not (await taken(session, since=now + timedelta(hours=1))).examples
    assert len((await taken(session, since=now - timedelta(hours=1))).examples) == 2
    found = await taken(session, least_characters=8)
    assert [e.query for e in found.examples.values()] == ["Hey"]


async def test_what_was_deleted_is_not_even_context(session: StoredSession) -> None:
    first = await session.turn("What is in a.py?", READ, says("x."))
    second = await session.turn("Again", READ, says("x."))
    third = await session.turn("Fail", use("no_such_tool"), says("Hm."))
    await session.turn("And now?", READ, says("Still x."))
    found = await taken(session)
    one, two = (found.origins[name] for name in found.examples)
    assert (one.turns, one.context) == ((first.message_id, second.message_id), ())
    assert two.context == (first.message_id, second.message_id, third.message_id)
    found = await taken(session, without=(second.message_id,))
    (example,) = found.examples.values()
    assert "Again" not in str(example)
    assert found.dropped["deleted, or after what was deleted"] == 1


async def test_what_was_found_kept_stays_so(session: StoredSession) -> None:
    edit = use("edit_file", path="a.py", edits=[{"old_text": "x = 1", "new_text": "x = 2"}])
    turn = await session.turn("Make x 2", READ, edit, says("Done."))
    assert [*(await taken(session)).kept] == [turn.message_id]
    (session.project / "a.py").write_text("y = 1\n")
    assert not (await taken(session)).examples
    assert (await only(session, known_kept=(turn.message_id,))).checked == "person"
    (session.project / "a.py").write_text("x = 2\n")
    await session.undo()
    assert not (await taken(session, known_kept=(turn.message_id,))).examples


async def test_a_dataset_is_written_and_equal_each_time(session: StoredSession) -> None:
    await session.turn("What is in a.py?", READ, says("x."))
    await session.turn("Fail", use("no_such_tool"), says("Hm."))

    def write(name: str) -> Dataset:
        out = session.project.parent / name
        return from_sessions(FromSessionsOptions(), session.settings, out)

    first = await anyio.to_thread.run_sync(write, "one")
    second = await anyio.to_thread.run_sync(write, "two")
    assert first.hash == second.hash
    assert first.file("all").read_bytes() == second.file("all").read_bytes()
    assert first.manifest.recipe["dropped"] == {"a call did not run": 1}
    (example,) = first.examples("all")
    assert "read_file" in json.dumps([*first.prefix(example).tools])


async def test_code_mode_has_its_own_prefix(session: StoredSession) -> None:
    session.code_mode = True
    session.limits = ToolLimits()
    code = "print((await read_file(path='a.py')).text)"
    await session.turn("What is in a.py?", use("run_code", code=code), says("x."))
    found = await taken(session)
    (example,) = found.examples.values()
    tools = found.prefixes[example.prefix].tools
    assert [tool["function"]["name"] for tool in tools] == ["run_code"]


def test_nothing_is_taken_without_the_users_own_word(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_settings_file().write_text("")
    monkeypatch.setenv("PUNIE_LEARN_FROM_SESSIONS", "true")
    asked = load_settings(state_dir=tmp_path / "state")
    with pytest.raises(TrainingError, match=r"`learn_from_sessions = true` into .*settings\.toml"):
        from_sessions(FromSessionsOptions(), asked, tmp_path / "out")
    (tmp_path / ".punie").mkdir()
    (tmp_path / ".punie" / "settings.toml").write_text("learn_from_sessions = true\n")
    with pytest.raises(SettingsError, match="which only your own settings file may set"):
        load_settings(tmp_path)
    assert not (tmp_path / "out").exists()


def test_no_sessions_are_said_so(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(TrainingError, match="no accepted turn in your sessions yet"):
        from_sessions(FromSessionsOptions(), settings, tmp_path / "out")
    assert not settings.state_dir.exists()
