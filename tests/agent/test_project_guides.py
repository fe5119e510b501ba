"""AGENTS.md: it comes once, with what it is for, and again when it changed or left the context."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic_ai.messages import ModelMessage

from punie.agent.events import Compacted, GuideAdded
from punie.agent.history import SUMMARY_HEAD
from punie.agent.project_guides import guide_chars, latest_guides
from punie.agent.summary import Summariser
from punie.agent.turn_config import TurnConfig, turn_tools
from punie.workspace.local import LocalWorkspace
from tests.agent.stage import Piece, Recording, Script, Stage, call, messages_from_events, scripted
from tests.agent.test_budget import asks_for_summary
from tests.agent.test_compaction import results
from tests.agent.test_history import flat

pytestmark = pytest.mark.anyio


@dataclass
class InProject(Stage):
    """Turns in a folder of the disk, with the real tools."""

    root: Path = Path()
    user_folder: Path | None = None
    guide_tokens: int = 600
    code_mode: bool = False

    def config(self) -> TurnConfig:
        return replace(
            super().config(),
            workspace=LocalWorkspace([self.root]),
            tools=turn_tools((), attended=True, code_mode=self.code_mode),
            guide_tokens=self.guide_tokens,
            user_folder=self.user_folder,
        )


def reads(*paths: str) -> Script:
    """A model that reads the files, one in each turn, and says that it has."""

    def script(done: int, messages: Sequence[ModelMessage]) -> Sequence[Piece | float]:
        if asks_for_summary(messages):
            return ["A file was read."]
        path = paths[min(done // 2, len(paths) - 1)]
        if done % 2 == 0:
            return [call("read_file", json.dumps({"path": path}))]
        return ["Read."]

    return script


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


async def test_guides_of_user_and_root_come_with_the_first_prompt_only(tmp_path: Path) -> None:
    project, user = tmp_path / "p", tmp_path / "u"
    put(project / "AGENTS.md", "# Shop\n\nRun `make test`.\n")
    put(project / "CLAUDE.md", "Not this one.")
    put(user / "AGENTS.md", "Answer in French.")
    put(project / "a.py", "1")
    recording = Recording()
    model = scripted(reads("a.py"), recording)
    stage = InProject(model, root=project, user_folder=user)
    events = await stage.turn("hello")
    assert [event.kind for event in events[:2]] == ["user_message", "guide"]
    (text,) = [item[1] for item in flat(recording.requests[0])]
    assert text == (
        "How to work for this user, from AGENTS.md of the settings folder:\n"
        "```\nAnswer in French.\n```\n\n"
        "How to work in this project, from AGENTS.md:\n"
        "```\n# Shop\n\nRun `make test`.\n```\n\nhello"
    )
    later = await stage.turn("more")
    assert not [event for event in later if isinstance(event, GuideAdded)]
    for before, after in pairwise(recording.requests):
        assert flat(after)[: len(flat(before))] == flat(before)
    assert flat(messages_from_events(stage.events))[: len(flat(after))] == flat(after)


async def test_a_guide_that_changed_comes_again_as_an_addition(tmp_path: Path) -> None:
    put(tmp_path / "CLAUDE.md", "Use tabs.")
    put(tmp_path / "a.py", "1")
    recording = Recording()
    stage = InProject(scripted(reads("a.py"), recording), root=tmp_path)
    await stage.turn("one")
    put(tmp_path / "CLAUDE.md", "Use spaces.")
    await stage.turn("two")
    prompts = [item[1] for item in flat(recording.requests[-1]) if item[0] == "user"]
    assert "Use tabs." in prompts[0]
    assert prompts[1].startswith("How to work in this project, from CLAUDE.md:")
    assert "Use spaces." in prompts[1]
    (latest,) = latest_guides(recording.requests[-1]).values()
    assert "Use spaces." in latest
    # What the summary of the first turn carries along is not what the second one replaced.
    summariser = Summariser.of_turn(stage.config())
    assert "Use" not in await summariser.stand_in(recording.requests[-1], 4)
    assert "Use tabs." in await summariser.stand_in(recording.requests[-1][:4], 4)


@pytest.mark.parametrize("code_mode", [False, True])
async def test_a_folders_guide_comes_with_the_first_result_from_below_it(
    tmp_path: Path, code_mode: bool
) -> None:
    put(tmp_path / "web/AGENTS.md", "Views are thin.")
    put(tmp_path / "web/api/CLAUDE.md", "JSON only.")
    for name in ("top.py", "web/api/a.py", "web/api/b.py"):
        put(tmp_path / name, "1")
    plain = reads("top.py", "web/api/a.py", "web/api/b.py")

    def as_code(done: int, messages: Sequence[ModelMessage]) -> Sequence[Piece | float]:
        path = ("top.py", "web/api/a.py", "web/api/b.py")[done // 2 % 3]
        if done % 2 == 0:
            return [call("run_code", json.dumps({"code": f"print(read_file({path!r}))"}))]
        return ["Read."]

    stage = InProject(scripted(as_code if code_mode else plain), root=tmp_path, code_mode=code_mode)
    for number in range(3):
        await stage.turn(f"read {number}")
    read = list(results(messages_from_events(stage.events)).values())
    assert ["Views are thin." in text for text in read] == [False, True, False]
    assert "How to work in web/api, from web/api/CLAUDE.md:\n```\nJSON only.\n```" in read[1]
    put(tmp_path / "web/api/CLAUDE.md", "XML too.")
    await stage.turn("once more")
    read = list(results(messages_from_events(stage.events)).values())
    assert ("XML too." in read[-1]) is not code_mode  # there it reads top.py again
    assert "Views" not in read[-1]


async def test_a_long_guide_is_cut_and_says_how_to_read_the_rest(tmp_path: Path) -> None:
    put(tmp_path / "AGENTS.md", "\n".join(f"- rule {number}" for number in range(1_000)))
    recording = Recording()
    stage = InProject(scripted(lambda done, m: ["ok"], recording), root=tmp_path, guide_tokens=100)
    await stage.turn("hi")
    text = flat(recording.requests[0])[0][1]
    assert len(text) < 600
    assert text.endswith("; read_file AGENTS.md gives the rest)\n\nhi")
    assert latest_guides(recording.requests[0]) == {"AGENTS.md": text.removesuffix("\n\nhi")}
    await stage.turn("again")
    assert sum(isinstance(event, GuideAdded) for event in stage.events) == 1


@pytest.mark.parametrize("content", [b"", b" \n\n", b"\x00\x01binary"])
async def test_what_is_no_guide_is_passed_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "AGENTS.md").write_bytes(content)
    stage = InProject(scripted(lambda done, m: ["ok"]), root=tmp_path)
    assert [event.kind for event in await stage.turn("hi")][:2] == ["user_message", "text"]


async def test_secrets_in_guides_are_masked_and_the_guides_still_come_once(tmp_path: Path) -> None:
    value = "hunter2hunter2hunter2"
    put(tmp_path / ".env", f"API_TOKEN={value}\n")
    put(tmp_path / "AGENTS.md", f"Log in with {value}.")
    put(tmp_path / "web/AGENTS.md", f"Here too: {value}.")
    put(tmp_path / "web/a.py", "1")
    stage = InProject(scripted(reads("web/a.py", "web/a.py")), root=tmp_path)
    for number in range(2):
        await stage.turn(f"read {number}")
    assert value not in str(stage.events)
    assert sum(isinstance(event, GuideAdded) for event in stage.events) == 1
    read = list(results(messages_from_events(stage.events)).values())
    assert ["Here too" in text for text in read] == [True, False]


async def test_a_guide_is_no_way_to_a_secret(tmp_path: Path) -> None:
    put(tmp_path / ".env", "KEY=secret")
    (tmp_path / "AGENTS.md").symlink_to(tmp_path / ".env")
    stage = InProject(scripted(lambda done, m: ["ok"]), root=tmp_path)
    assert [event.kind for event in await stage.turn("hi")][:2] == ["user_message", "text"]


async def test_a_guide_outside_of_the_project_is_not_read(tmp_path: Path) -> None:
    put(tmp_path / "secret.md", "secret")
    (tmp_path / "p").mkdir()
    (tmp_path / "p/AGENTS.md").symlink_to(tmp_path / "secret.md")
    stage = InProject(scripted(lambda done, m: ["ok"]), root=tmp_path / "p")
    assert [event.kind for event in await stage.turn("hi")][:2] == ["user_message", "text"]


@pytest.mark.parametrize(
    ("tokens", "window", "chars"),
    [(600, None, 2_400), (600, 32_768, 2_400), (600, 8_000, 2_000), (600, 4_096, 0), (0, 9_999, 0)],
)
def test_how_much_is_told_follows_the_window(tokens: int, window: int | None, chars: int) -> None:
    assert guide_chars(tokens, window) == chars


async def test_what_a_compaction_drops_takes_no_guide_along(tmp_path: Path) -> None:
    put(tmp_path / "AGENTS.md", "Run `make test`.")
    put(tmp_path / "a.py", "word " * 500)
    recording = Recording()
    stage = InProject(scripted(reads("a.py"), recording, window=16_000), root=tmp_path)
    while not any(isinstance(event, Compacted) and event.dropped for event in stage.events):
        await stage.turn("again " * 300)
    (kept,) = [event for event in stage.events if isinstance(event, Compacted) and event.dropped]
    assert kept.summary.startswith(SUMMARY_HEAD)
    assert "A file was read." in kept.summary
    assert kept.summary.endswith("Run `make test`.\n```")
    await stage.turn("on")
    assert sum(isinstance(event, GuideAdded) for event in stage.events) == 1
    assert sum("make test" in str(item) for item in flat(recording.requests[-1])) == 1


async def test_credentials_in_guides_are_masked(tmp_path: Path) -> None:
    token = "ghp_Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4zAb3d"
    put(tmp_path / "AGENTS.md", f"Deploy with {token}.")
    put(tmp_path / "src" / "AGENTS.md", f"Push with {token}.")
    put(tmp_path / "src" / "a.py", "1")
    stage = InProject(scripted(reads("src/a.py")), root=tmp_path)
    await stage.turn("hello")
    told = str(messages_from_events(stage.events))
    assert "Deploy with ***." in told
    assert "Push with ***." in told
    assert token not in told
