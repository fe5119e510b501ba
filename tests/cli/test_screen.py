import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.cli.screen import TerminalScreen, added, unfenced


@given(st.text(alphabet="ab\n", max_size=300), st.text(alphabet="ab\n", max_size=60))
def test_what_an_output_has_more_is_shown_once(before: str, more: str) -> None:
    assert added(before, before + more) == more


@given(st.lists(st.integers(0, 999), min_size=40, max_size=80), st.integers(1, 5))
def test_an_output_of_which_only_the_end_is_told(values: list[int], count: int) -> None:
    lines = [f"{position}: {value}\n" for position, value in enumerate(values)]
    before, now = "".join(lines[:-count])[-150:], "".join(lines)[-150:]
    assert added(before, now) == "".join(lines[-count:])


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("```sh\nls\n```", ["ls"]),
        ("````\n```\n````", ["```"]),
        ("```sh\nls\n```\nand more", ["```sh", "ls", "```", "and more"]),
        ("plain", ["plain"]),
        ("", []),
    ],
)
def test_a_block_of_code_is_shown_without_its_fence(text: str, lines: list[str]) -> None:
    assert unfenced(text) == lines


def test_a_call_is_named_when_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    screen = TerminalScreen(None, yes=False, thoughts=False)
    text = {"type": "text", "text": "hidden"}
    screen.show({"sessionUpdate": "agent_thought_chunk", "content": text})
    call = {"toolCallId": "1", "sessionUpdate": "tool_call_update"}
    screen.show({**call, "sessionUpdate": "tool_call", "title": "Edit a", "status": "pending"})
    screen.show({**call, "title": "Edit a.py"})
    assert capsys.readouterr().err == ""
    screen.show({**call, "status": "in_progress"})
    for shown in ("one\n", "one\ntwo\n"):
        content = {"type": "content", "content": {"type": "text", "text": shown}}
        screen.show({**call, "content": [content]})
    assert capsys.readouterr().err == "● Edit a.py\none\ntwo\n"
