from pathlib import Path
from typing import Any

from acp.utils import serialize_params

from punie.acp.handshake import ClientProfile
from punie.acp.replay import replay_updates
from punie.acp.tool_calls import WRITTEN_TAIL
from punie.acp.translate import RUNNING_TAIL, Translator
from punie.acp.updates import SessionUpdate, update_params
from punie.agent.events import (
    Compacted,
    Notice,
    PermissionAsked,
    PermissionChoice,
    PlanChanged,
    PlanEntry,
    PromptText,
    TextDelta,
    ThoughtDelta,
    TitleChanged,
    ToolFinished,
    ToolProgress,
    ToolRunning,
    ToolStarted,
    ToolUnwritten,
    ToolWriting,
    TurnEnded,
    TurnEvent,
    UsageChanged,
    UserMessage,
)
from punie.tools.presentation import DiffContent, Location, Presentation, TextContent

PLAIN = ClientProfile()
NEWEST = ClientProfile(notices=True, compaction=True)
SHOWN = Presentation(
    title="Edit a.py",
    kind="edit",
    locations=(Location(path=Path("/p/a.py"), line=3),),
    content=(DiffContent(path=Path("/p/a.py"), old_text="old", new_text="new"),),
)
STARTED = ToolStarted(
    call_id="c", message_id="m", tool="edit_file", arguments={"path": "a.py"}, presentation=SHOWN
)
FINISHED = ToolFinished(call_id="c", status="completed", result="edited", presentation=SHOWN)


def wire(update: SessionUpdate) -> dict[str, Any]:
    result = update_params("s", update)["update"]
    assert isinstance(result, dict)
    return result


def sent(events: list[TurnEvent], profile: ClientProfile = PLAIN) -> list[dict[str, Any]]:
    translator = Translator(profile)
    return [
        wire(update)
        for position, event in enumerate(events, 1)
        for update in translator.updates(event, position)
    ]


def writing(arguments: dict[str, Any], title: str = "edit_file") -> ToolWriting:
    return ToolWriting(
        call_id="c",
        message_id="m",
        tool="edit_file",
        arguments=arguments,
        presentation=Presentation(title=title, kind="edit"),
    )


def test_a_call_is_announced_once_while_it_is_written() -> None:
    text = "x" * (WRITTEN_TAIL + 1)
    begin, more, most, whole, end = sent(
        [
            writing({}),
            writing({"path": "a.py"}, "edit_file: a.py"),
            writing({"path": "a.py", "text": [text]}, "edit_file: a.py"),
            STARTED,
            FINISHED,
        ]
    )
    assert begin == {
        "sessionUpdate": "tool_call",
        "toolCallId": "c",
        "name": "edit_file",
        "title": "edit_file",
        "kind": "edit",
        "status": "pending",
        "rawInput": {},
    }
    assert more == {
        "sessionUpdate": "tool_call_update",
        "toolCallId": "c",
        "title": "edit_file: a.py",
        "rawInput": {"path": "a.py"},
    }
    assert most["rawInput"] == {"path": "a.py", "text": ["…" + text[1:]]}
    assert "title" not in most
    (alone,) = sent([STARTED])
    assert whole == {
        **{key: value for key, value in alone.items() if key != "name"},
        "sessionUpdate": "tool_call_update",
    }
    assert end["status"] == "completed"


def test_a_call_that_is_not_written_to_its_end_ends_as_failed() -> None:
    begin, end = sent([writing({"path": "a.py"}), ToolUnwritten(call_id="c")])
    assert begin["status"] == "pending"
    assert (end["toolCallId"], end["status"]) == ("c", "failed")
    assert end["content"][0]["content"]["text"]


def test_a_call_as_it_goes_over_the_wire() -> None:
    begin, running, end = sent([STARTED, ToolRunning(call_id="c"), FINISHED])
    assert begin == {
        "sessionUpdate": "tool_call",
        "toolCallId": "c",
        "name": "edit_file",
        "title": "Edit a.py",
        "kind": "edit",
        "status": "pending",
        "locations": [{"path": "/p/a.py", "line": 3}],
        "content": [{"type": "diff", "path": "/p/a.py", "oldText": "old", "newText": "new"}],
        "rawInput": {"path": "a.py"},
    }
    assert running == {
        "sessionUpdate": "tool_call_update",
        "toolCallId": "c",
        "status": "in_progress",
    }
    assert end["status"] == "completed"
    assert end["content"] == begin["content"]


def test_a_new_file_has_no_old_text() -> None:
    diff = DiffContent(path=Path("/p/b"), old_text=None, new_text="")
    shown = Presentation(title="Write b", kind="edit", content=(diff,))
    (update,) = sent([STARTED.model_copy(update={"presentation": shown})])
    assert update["content"] == [{"type": "diff", "path": "/p/b", "newText": ""}]


def test_a_result_without_a_picture_is_shown_as_text() -> None:
    plain = Presentation(title="Read", kind="read")
    (update,) = sent([FINISHED.model_copy(update={"presentation": plain})])
    assert update["content"] == [{"type": "content", "content": {"type": "text", "text": "edited"}}]


def test_a_diff_that_is_too_large_is_told_in_words() -> None:
    diff = DiffContent(path=Path("/p/b"), old_text=None, new_text="x" * 5_000_000)
    shown = Presentation(title="Write b", kind="edit", content=(diff,))
    (update,) = sent([STARTED.model_copy(update={"presentation": shown})])
    assert "too large to show (5000000 characters)" in update["content"][0]["content"]["text"]


def test_running_output_keeps_only_its_tail() -> None:
    pieces = [ToolProgress(call_id="c", text=f"{number:07}\n") for number in range(5000)]
    last = sent([STARTED, *pieces])[-1]
    text = last["content"][0]["content"]["text"]
    assert len(text) == RUNNING_TAIL
    assert text.endswith("0004999\n")


def test_a_question_carries_the_whole_call() -> None:
    translator = Translator(PLAIN)
    translator.updates(STARTED, 1)
    choices = (PermissionChoice(id="y", name="Yes", kind="allow_once"),)
    asked = PermissionAsked(call_id="c", presentation=SHOWN, choices=choices)
    assert translator.updates(asked, 2) == []
    call = serialize_params(translator.permission_call(asked))
    assert call["title"] == "Edit a.py"
    assert call["status"] == "pending"
    assert call["rawInput"] == {"path": "a.py"}
    assert call["content"][0]["type"] == "diff"
    assert call["locations"] == [{"path": "/p/a.py", "line": 3}]


def test_notices_go_where_they_belong() -> None:
    events: list[TurnEvent] = [
        Notice(severity="info", text="Loading"),
        Notice(severity="error", text="Broken"),
        Compacted(dropped=1),
    ]
    events.append(Compacted(dropped=0, cleared=("a", "b")))
    info, error, dropped, cleared = sent(events)
    assert cleared["content"]["text"] == "2 tool results left the model's context.\n"
    assert (info["sessionUpdate"], info["messageId"]) == ("agent_thought_chunk", "notice-1")
    assert (error["sessionUpdate"], error["content"]["text"]) == ("agent_message_chunk", "Broken")
    assert "1 older message left the model" in dropped["content"]["text"]


def conversation() -> list[TurnEvent]:
    plan = PlanChanged(entries=(PlanEntry(content="do", status="in_progress"),))
    return [
        UserMessage(message_id="u", blocks=(PromptText(text="hi"),), text="hi"),
        Notice(severity="info", text="Loading"),
        ThoughtDelta(message_id="m", text="let "),
        ThoughtDelta(message_id="m", text="me"),
        TextDelta(message_id="m", text="one "),
        TextDelta(message_id="m", text="two"),
        STARTED,
        ToolRunning(call_id="c"),
        ToolProgress(call_id="c", text="..."),
        FINISHED,
        plan,
        UsageChanged(context_tokens=10, context_size=100),
        TextDelta(message_id="n", text="three"),
        UsageChanged(context_tokens=20, context_size=100),
        TurnEnded(stop_reason="end_turn"),
    ]


def test_the_replay_joins_what_belongs_together() -> None:
    replayed = [wire(update) for update in replay_updates(conversation(), PLAIN)]
    assert [
        (update["sessionUpdate"], update.get("content", {}).get("text"))
        for update in replayed
        if "_chunk" in update["sessionUpdate"]
    ] == [
        ("user_message_chunk", "hi"),
        ("agent_thought_chunk", "Loading\n"),
        ("agent_thought_chunk", "let me"),
        ("agent_message_chunk", "one two"),
        ("agent_message_chunk", "three"),
    ]
    (call,) = [update for update in replayed if update["sessionUpdate"] == "tool_call"]
    assert call["status"] == "completed"
    assert call["content"][0]["type"] == "diff"
    assert replayed[-1] == {"sessionUpdate": "usage_update", "used": 20, "size": 100}
    assert not any(update["sessionUpdate"] == "tool_call_update" for update in replayed)


def test_the_replay_uses_the_ids_of_the_turn() -> None:
    ids = [
        {update["messageId"] for update in updates if update.get("messageId") not in (None, "u")}
        for updates in (
            sent(conversation()),
            [wire(update) for update in replay_updates(conversation(), PLAIN)],
        )
    ]
    assert ids[0] == ids[1]


def test_a_call_without_an_end_was_interrupted_unless_it_still_runs() -> None:
    events = conversation()[:9]
    (cut,) = [
        update for update in map(wire, replay_updates(events, PLAIN)) if "toolCallId" in update
    ]
    assert cut["status"] == "failed"
    assert "Interrupted" in cut["content"][-1]["content"]["text"]
    live = [wire(update) for update in replay_updates(events, PLAIN, running=True)]
    assert [update["status"] for update in live if "toolCallId" in update] == ["pending"]


def test_a_failed_call_shows_its_reason_again() -> None:
    shown = Presentation(title="Run", kind="execute", content=(TextContent(text="denied"),))
    end = FINISHED.model_copy(update={"status": "failed", "presentation": shown})
    (call,) = [wire(update) for update in replay_updates([STARTED, end], PLAIN)]
    assert (call["status"], call["title"], call["kind"]) == ("failed", "Run", "execute")
    assert call["content"][0]["content"]["text"] == "denied"


def test_a_client_that_knows_notices_and_compactions_gets_them() -> None:
    events: list[TurnEvent] = [
        Notice(severity="warning", text="Careful."),
        Compacted(dropped=2),
    ]
    notice, compaction = sent(events, NEWEST)
    assert notice == {"sessionUpdate": "notice", "severity": "warning", "title": "Careful."}
    assert compaction["sessionUpdate"] == "compaction_update"
    assert compaction["status"] == "completed"
    assert "2 older messages" in compaction["summary"][0]["text"]
    plain = sent(events)
    assert [update["sessionUpdate"] for update in plain] == [
        "agent_message_chunk",
        "agent_thought_chunk",
    ]
    shown_again = [wire(update) for update in replay_updates(events, NEWEST)]
    assert [update["sessionUpdate"] for update in shown_again] == ["compaction_update"]


def test_output_in_a_terminal_of_the_client_stays_there() -> None:
    events: list[TurnEvent] = [
        STARTED,
        ToolRunning(call_id="c"),
        ToolProgress(call_id="c", terminal_id="t-1"),
        FINISHED,
    ]
    terminal = [{"type": "terminal", "terminalId": "t-1"}]
    *_, progress, end = sent(events)
    assert progress["content"] == terminal
    assert (end["content"], end["status"]) == (terminal, "completed")
    # The terminal is gone when the session is opened again: the text takes its place.
    (call,) = [wire(update) for update in replay_updates(events, PLAIN)]
    assert call["content"][0]["type"] == "diff"


def test_the_latest_plan_and_title_are_shown_again() -> None:
    events: list[TurnEvent] = [
        TitleChanged(title="First"),
        PlanChanged(entries=(PlanEntry(content="a"),)),
        PlanChanged(entries=(PlanEntry(content="a", status="completed"),)),
        TitleChanged(title="Second"),
    ]
    title, plan = [wire(update) for update in replay_updates(events, PLAIN)]
    assert title == {"sessionUpdate": "session_info_update", "title": "Second"}
    assert [entry["status"] for entry in plan["entries"]] == ["completed"]
