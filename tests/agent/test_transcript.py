from pathlib import Path

from punie.agent.events import (
    Notice,
    PromptLink,
    PromptResource,
    PromptText,
    TextDelta,
    ThoughtDelta,
    ToolFinished,
    ToolStarted,
    TurnEnded,
    TurnEvent,
    UserMessage,
)
from punie.agent.transcript import MOST_RESULT_LINES, conversation_markdown
from punie.tools.presentation import DiffContent, Presentation, TextContent
from tests.agent.stage import prompt


def call(
    call_id: str, shown: Presentation, status: str | None = "completed", result: str = "r"
) -> list[TurnEvent]:
    started = ToolStarted(
        call_id=call_id, message_id="m", tool="t", arguments={}, presentation=shown
    )
    if status is None:
        return [started]
    ended = ToolFinished(
        call_id=call_id,
        status="completed" if status == "completed" else "failed",
        result=result,
        presentation=shown,
    )
    return [started, ended]


def test_a_whole_conversation() -> None:
    edit = Presentation(
        title="Edit app.py",
        kind="edit",
        content=(DiffContent(path=Path("/p/app.py"), old_text="a\nb\n", new_text="a\nc\n"),),
    )
    read = Presentation(title="Read app.py", kind="read", content=(TextContent(text="secret"),))
    run = Presentation(title="`make`", kind="execute", content=(TextContent(text="```\nno\n```"),))
    events: list[TurnEvent] = [
        UserMessage(
            message_id="u",
            blocks=(
                PromptText(text="# Change b in"),
                PromptLink(uri="file:///p/app.py", name="app.py"),
                PromptResource(uri="file:///n.txt", text="note"),
            ),
            text="noted",
        ),
        ThoughtDelta(message_id="m", text="hidden thought"),
        TextDelta(message_id="m", text="I re"),
        TextDelta(message_id="m", text="ad."),
        *call("1", read),
        Notice(severity="info", text="Loading the model…"),
        *call("2", edit),
        *call("3", run, "failed"),
        *call("4", run, None),
        TextDelta(message_id="n", text="Done."),
        Notice(severity="warning", text="Stopped early."),
        TurnEnded(stop_reason="end_turn"),
        prompt("/help").model_copy(update={"command": "help"}),
        TextDelta(message_id="h", text="The commands are these."),
        TurnEnded(stop_reason="end_turn"),
        prompt("Thanks"),
        TextDelta(message_id="o", text="Bye."),
    ]
    assert conversation_markdown(events, "A title") == (
        "# A title\n\n"
        "## You\n\n"
        "\\# Change b in @app.py \n\nAttached: file:///n.txt\n\n```\nnote\n```\n\n"
        "## Punie\n\n"
        "I read.\n\n"
        "- Read app.py\n\n"
        "- Edit app.py\n\n  ```diff\n  @@ -1,2 +1,2 @@\n   a\n  -b\n  +c\n  ```\n\n"
        "- `make` (failed)\n\n  ```\n  no\n  ```\n\n"
        "- `make` (interrupted)\n\n  ```\n  no\n  ```\n\n"
        "Done.\n\n"
        "> Stopped early.\n\n"
        "## You\n\nThanks\n\n"
        "## Punie\n\nBye.\n"
    )


def test_long_results_are_cut_and_stay_fenced() -> None:
    lines = "\n".join(str(number) for number in range(500))
    run = Presentation(
        title="`seq`", kind="execute", content=(TextContent(text=f"```\n{lines}\n```"),)
    )
    text = conversation_markdown([prompt("go"), *call("1", run)], "t")
    assert text.count("```") == 2
    assert len(text.splitlines()) < MOST_RESULT_LINES + 15
    assert "more)" in text


def test_what_is_said_beside_a_diff_is_kept() -> None:
    diff = DiffContent(path=Path("/p/a.py"), old_text="a\n", new_text="b\n")
    shown = Presentation(
        title="`make`", kind="execute", content=(diff, TextContent(text="exit code 0"))
    )
    text = conversation_markdown([prompt("go"), *call("1", shown)], "t")
    assert "+b" in text
    assert "  exit code 0" in text
