"""What the model reads in a session over real pipes: guides, skills, exploring and compaction."""

from pathlib import Path
from typing import Any

from tests.e2e.conftest import Script, Start
from tests.e2e.test_commands import load, opened, said

READ = {"tool": "read_file", "arguments": {"path": "app.py"}}
EXPLORE = {"tool": "explore", "arguments": {"task": "Who greets?"}}
SKILL = {"tool": "skill", "arguments": {"name": "release"}}


def used(updates: list[dict[str, Any]]) -> list[int]:
    return [update["used"] for update in updates if update["sessionUpdate"] == "usage_update"]


def thoughts(updates: list[dict[str, Any]]) -> str:
    chunks = [u for u in updates if u["sessionUpdate"] == "agent_thought_chunk"]
    return "".join(update["content"]["text"] for update in chunks)


def test_a_session_from_its_guide_to_a_reopening_after_a_compaction(
    start: Start, script: Script, project: Path
) -> None:
    (project / "AGENTS.md").write_text("Say please.\n")
    skill = project / ".punie/skills/release/SKILL.md"
    skill.parent.mkdir(parents=True)
    skill.write_text("---\nname: release\ndescription: Makes a release.\n---\nTag first.\n")
    broken = project / ".agents/skills/broken/SKILL.md"
    broken.parent.mkdir(parents=True)
    broken.write_text("Nothing.\n")
    model = script(
        # The other conversation begins with the first response too.
        {"text": "I look.", "calls": [READ]},
        {"text": "The function greet."},
        {"text": "I let look.", "calls": [EXPLORE]},
        {"text": "Explored."},
        {"text": "I read the skill.", "calls": [SKILL]},
        *({"text": "Noted."} for _ in range(10)),
    )
    client = start(model)
    session = opened(client, project)

    said(client, session, "hello")
    told = client.updates(session)
    assert thoughts(told).count("The model was told AGENTS.md.\n") == 1
    assert used(told)[0] >= len("How to work in this project, from AGENTS.md: Say please.") // 4

    client.prompt(session, "explore")
    calls = list(client.calls(session).values())[1:]
    assert [call["title"] for call in calls] == ["Explore: Who greets?", "Read app.py"]
    assert {call["status"] for call in calls} == {"completed"}
    assert calls[0]["content"][0]["content"]["text"] == "The function greet."
    assert said(client, session, "skill") == "I read the skill.Noted."
    (call,) = [c for c in client.calls(session).values() if c["title"] == "Skill release"]
    assert "Tag first." in call["content"][0]["content"]["text"]
    listed = said(client, session, "/skills")
    assert "- `release` (`.punie/skills/release`): Makes a release." in listed
    assert ".agents/skills/broken/SKILL.md does not begin with a line of ---" in listed

    answers = ""
    for number in range(5):
        answers += said(client, session, f"{number} " + "word " * 5_000)
    assert answers.count("The conversation fills") == 1
    updates = client.updates(session)
    assert "Making room: the model sums up the oldest" in thoughts(updates)
    assert "left the model's context. A summary stays." in thoughts(updates)
    assert used(updates)[-1] < used(updates)[-2]

    # A copy goes on here what the session itself goes on after a restart: the model reads the same.
    copy = client.request(
        "session/fork", {"sessionId": session, "cwd": str(project), "mcpServers": []}
    )["sessionId"]
    here = said(client, copy, "next")
    asked = used(client.updates(copy))[-1]
    client.kill()
    client = start(model)
    client.initialize()
    load(client, session, project)
    assert said(client, session, "next") == here
    assert used(client.updates(session))[-1] == asked
