from dataclasses import replace

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.tools.presentation import TextContent
from punie.tools.wording import in_backticks, one_line, plain_output
from tests.tools.conftest import Bench

pytestmark = pytest.mark.anyio


async def test_a_command(bench: Bench) -> None:
    result = await bench.result("run_command", command="echo hi; echo there >&2; exit 3")
    assert result.text == "exit code 3\nhi\nthere"
    assert result.presentation.title == "`echo hi; echo there >&2; exit 3`"
    assert result.presentation.kind == "execute"
    assert result.presentation.content == (TextContent(text=f"```\n{result.text}\n```"),)
    assert await bench.text("run_command", command="true") == "exit code 0"


async def test_it_runs_in_the_workspace(bench: Bench) -> None:
    bench.file("here.txt", "")
    assert await bench.text("run_command", command="ls") == "exit code 0\nhere.txt"


async def test_progress_is_what_was_written(bench: Bench) -> None:
    pieces: list[str] = []

    async def progress(text: str) -> None:
        pieces.append(text)

    loud = Bench(bench.root, replace(bench.context, progress=progress))
    await loud.result("run_command", command="echo one; sleep 0.2; echo two")
    assert "".join(pieces) == "one\ntwo\n"
    assert len(pieces) == 2


async def test_the_timeout_is_the_models_but_never_longer_than_allowed(bench: Bench) -> None:
    short = bench.limited(command_seconds=0.4)
    hint = "\n(what runs on, such as a server, is started with background=true)"
    with anyio.fail_after(20):
        assert await bench.text("run_command", command="echo a; sleep 60", timeout=0.3) == (
            f"timed out after 0.3 s\na{hint}"
        )
        assert await short.text("run_command", command="sleep 60", timeout=50) == (
            f"timed out after 0.4 s{hint}"
        )
        assert await short.text("run_command", command="sleep 60") == (
            f"timed out after 0.4 s{hint}"
        )


async def test_bad_input(bench: Bench) -> None:
    assert await bench.text("run_command", command=" ") == "error: the command is empty"
    for timeout in (0, -1, float("nan")):
        assert await bench.text("run_command", command="true", timeout=timeout) == (
            "error: timeout must be more than 0 seconds"
        )
    assert await bench.text("run_command", command="a\0b") == (
        "error: the command holds a NUL character, which no command can hold"
    )


async def test_long_output_fits_the_limit(bench: Bench) -> None:
    text = await bench.limited(result_chars=1000).text("run_command", command="seq 1 100000")
    assert len(text) <= 1000
    assert text.startswith("exit code 0\n1\n2\n")
    assert text.endswith("\n100000")
    assert "bytes omitted]" in text


async def test_colours_and_progress_bars_are_left_out(bench: Bench) -> None:
    command = r"printf '\033[31mred\033[0m\n10%%\r50%%\r100%%\r\nend\n'"
    assert await bench.text("run_command", command=command) == "exit code 0\nred\n100%\nend"


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b[?25l\x1b[2Ka\x1b(B", "a"),
        ("a\tb\r\nc", "a\tb\nc"),
        ("a\x08\x00b", "ab"),
        ("tail \x1b[", "tail "),
        ("\x1b]never closed\nmore", "\nmore"),
    ],
)
def test_plain_output(raw: str, plain: str) -> None:
    assert plain_output(raw) == plain


@settings(deadline=None)
@given(
    text=st.text(
        st.characters(whitelist_categories=["L", "N", "P", "S"], whitelist_characters="\n\t ")
    )
)
def test_ordinary_text_is_plain_already(text: str) -> None:
    assert plain_output(text) == text


@settings(deadline=None)
@given(text=st.text("a`\n\r\x1b ", max_size=30))
def test_titles_are_one_line_of_code(text: str) -> None:
    title = in_backticks(one_line(text, 20))
    assert "\n" not in title
    assert "\x1b" not in title
    ticks = len(title) - len(title.lstrip("`"))
    assert title.endswith("`" * ticks)
    assert "`" * ticks not in title[ticks:-ticks].strip("`") or ticks == 0


def test_a_long_command_is_cut_to_one_line() -> None:
    assert one_line("first\nsecond", 80) == "first …"
    assert one_line("x" * 200, 80) == "x" * 79 + "…"
    assert in_backticks("echo `date`") == "`` echo `date` ``"


@pytest.mark.parametrize("hidden", ["\u202e", "\u200b", "\u2066", "\r", "\x1b", "\x85", "\u3164"])
async def test_nothing_of_a_command_is_hidden_from_who_allows_it(bench: Bench, hidden: str) -> None:
    shown = await bench.present("run_command", command=f"ls {hidden} # ok\n\techo é 例 👍")
    [content] = shown.content
    assert isinstance(content, TextContent)
    assert (
        content.text
        == f"```sh\nls {hidden.encode('unicode_escape').decode()} # ok\n\techo é 例 👍\n```"
    )
    assert hidden not in shown.title
    shown = await bench.present("run_command", command=f"ls {' ' * 300}; rm x")
    assert shown.title == "`ls ; rm x`"


async def test_in_the_background(bench: Bench) -> None:
    shown = await bench.present("run_command", command="sleep 600", background=True)
    assert shown.title == "`sleep 600` in the background"
    result = await bench.result(
        "run_command", command="echo ready; sleep 600", background=True, timeout=0.01
    )
    assert result.text == "bg1 runs\nready"
    assert result.presentation.kind == "execute"
    assert await bench.text("command_output", id="bg1") == "bg1 runs, no new output"
    assert (await bench.present("command_output", id="bg1")).title == "Output of bg1"
    stopped = await bench.result("command_output", id="bg1", stop=True)
    assert stopped.text == "bg1 ended with exit code 143, no new output"
    assert stopped.presentation.title == "Stop background command bg1: `echo ready; sleep 600`"
    assert await bench.text("command_output", id="bg2") == (
        "error: there is no background command 'bg2'; there are bg1 (echo ready; sleep 600)"
    )


async def test_a_background_command_that_fails_at_once(bench: Bench) -> None:
    text = await bench.text("run_command", command="echo busy; exit 1", background=True)
    assert text == "bg1 ended with exit code 1\nbusy"
    text = await bench.text("run_command", command="sleep 600 & echo up", background=True)
    assert text == "bg2 ended with exit code 0; what it started still runs\nup"


@pytest.mark.parametrize(
    ("command", "helped"),
    [
        ("python3 -c 'input()'", True),
        ("echo 'sudo: a terminal is required to read the password' >&2; exit 1", True),
        ("echo 'the input device is not a TTY'; exit 1", True),
        ("stty -g", True),
        ("cat", False),
        ("echo 'the input device is not a TTY'; exit 0", False),
        ("grep needle /dev/null", False),
    ],
)
async def test_a_command_that_needs_a_terminal_is_helped(
    bench: Bench, command: str, helped: bool
) -> None:
    with anyio.fail_after(20):
        text = await bench.text("run_command", command=command)
    assert text.endswith("or ask the user to run it)") == helped
