"""What a person allows or forbids for good: asked, stored, obeyed, listed and revoked."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import COMMAND, Client, Json, merged_calls
from tests.e2e.conftest import Script, Start

pytestmark = pytest.mark.shared_agent

Punie = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def punie(environment: dict[str, str], project: Path) -> Punie:
    """Run `punie permissions` as the person would, in the project's folder."""

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(COMMAND), "permissions", *arguments],
            env=environment,
            cwd=project,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def command(line: str) -> Json:
    return {"calls": [{"tool": "run_command", "arguments": {"command": line}}]}


def write(path: str, content: str = "x\n") -> Json:
    return {"calls": [{"tool": "write_file", "arguments": {"path": path, "content": content}}]}


def choosing(option_id: str) -> Callable[[Json], Json]:
    """Answer every question with this id; a question that does not offer it is refused."""

    def answer(request: Json) -> Json:
        ids = [option["optionId"] for option in request["params"]["options"]]
        assert option_id in ids
        return {"outcome": {"outcome": "selected", "optionId": option_id}}

    return answer


def opened(client: Client, project: Path, mode: str | None = None) -> str:
    client.initialize()
    session = client.new_session(project)
    if mode is not None:
        client.request("session/set_mode", {"sessionId": session, "modeId": mode})
    return session


def questions(client: Client) -> list[Json]:
    return [
        message["params"]
        for message in list(client.messages)
        if message.get("method") == "session/request_permission"
    ]


def last_call(client: Client, session: str) -> Json:
    return list(merged_calls(client.updates(session)).values())[-1]


def thoughts(client: Client, session: str) -> str:
    chunks = client.updates(session, "agent_thought_chunk")
    return "".join(chunk["content"]["text"] for chunk in chunks)


def run_turns(
    start: Start, model: str, project: Path, answer: str, turns: int = 1, mode: str | None = None
) -> tuple[Client, str]:
    """Start an agent that plays its script with one answer to all that is asked."""
    client = start(model)
    client.answer = choosing(answer)
    session = opened(client, project, mode)
    for _ in range(turns):
        assert client.prompt(session) == "end_turn"
    return client, session


def test_a_question_carries_the_whole_call_and_five_answers(
    start: Start, script: Script, project: Path
) -> None:
    line = f"touch {'long-name' * 20}\ntouch second"
    model = script(command("echo one two"), command(line), write("src/new.py"), {"text": "Done."})
    client, session = run_turns(start, model, project, "reject_once")
    echo, long, edit = questions(client)
    assert echo["options"] == [
        {"optionId": "allow_once", "name": "Allow", "kind": "allow_once"},
        {
            "optionId": "allow_always",
            "name": "Always allow exactly `echo one two`",
            "kind": "allow_always",
        },
        {
            "optionId": "allow_always_pattern",
            "name": "Always allow `echo *` in this project",
            "kind": "allow_always",
        },
        {"optionId": "reject_once", "name": "Deny", "kind": "reject_once"},
        {"optionId": "reject_always", "name": "Never allow `echo *`", "kind": "reject_always"},
    ]
    announced = {update["toolCallId"]: update for update in client.updates(session, "tool_call")}
    for question in (echo, long, edit):
        call = question["toolCall"]
        assert question["sessionId"] == session
        assert call["title"] == announced[call["toolCallId"]]["title"]
        assert call["status"] == "pending"
        assert all(len(option["name"]) <= 80 for option in question["options"])
    assert (echo["toolCall"]["kind"], edit["toolCall"]["kind"]) == ("execute", "edit")
    assert echo["toolCall"]["rawInput"] == {"command": "echo one two"}
    (text,) = long["toolCall"]["content"]
    assert line in text["content"]["text"]
    assert edit["toolCall"]["locations"] == [{"path": str(project / "src/new.py"), "line": 1}]
    (diff,) = edit["toolCall"]["content"]
    assert (diff["type"], diff["newText"]) == ("diff", "x\n")
    assert edit["options"][2]["name"] == "Always allow edits in `src/**` in this project"


def test_allow_once_and_deny_are_asked_again(
    start: Start, script: Script, project: Path, punie: Punie
) -> None:
    model = script(command("echo x >> ran"), {"text": "Done."}, repeat=True)
    client, session = run_turns(start, model, project, "allow_once", turns=2)
    assert len(questions(client)) == 2
    assert (project / "ran").read_text() == "x\nx\n"
    client.answer = choosing("reject_once")
    client.prompt(session)
    assert len(questions(client)) == 3
    assert (project / "ran").read_text() == "x\nx\n"
    assert "There are no rules" in punie().stdout


def test_always_exactly_this_survives_a_restart(
    start: Start, script: Script, project: Path, punie: Punie
) -> None:
    model = script(command("touch ran"), {"text": "Done."}, repeat=True)
    client, session = run_turns(start, model, project, "allow_always")
    assert (project / "ran").exists()
    assert "Remembered: allow `touch ran`; `punie permissions` lists" in thoughts(client, session)
    assert punie().stdout == "  1  always allow exactly `touch ran`\n"
    client.kill()
    (project / "ran").unlink()
    client, _ = run_turns(start, model, project, "reject_once")
    assert questions(client) == []
    assert (project / "ran").exists()
    other = script(command("touch  ran2"), {"text": "Done."}, name="other.json")
    client, _ = run_turns(start, other, project, "reject_once")
    assert len(questions(client)) == 1
    assert not (project / "ran2").exists()


def test_always_the_pattern_reaches_no_further_than_it_says(
    start: Start, script: Script, project: Path, punie: Punie
) -> None:
    model = script(command("ls -a"), {"text": "Done."})
    run_turns(start, model, project, "allow_always_pattern")
    assert punie().stdout == "  1  always allow `ls *`\n"
    allowed = ("ls", "ls app.py | ls -l", "sh -c 'ls; ls -a'", f"cd {project} && ls 2>/dev/null")
    model = script(*map(command, allowed), {"text": "Done."}, name="allowed.json")
    client, session = run_turns(start, model, project, "reject_once")
    assert questions(client) == []
    calls = merged_calls(client.updates(session)).values()
    assert [call["status"] for call in calls] == ["completed"] * len(allowed)
    asked = (
        "ls && touch ran",
        "ls; touch ran",
        "ls\ntouch ran",
        "ls $(touch ran)",
        'ls "`touch ran`"',
        "ls <(touch ran)",
        "ls > ran",
        "ls | xargs touch ran",
        "ls & touch ran",
        "env LS=1 touch ran",
        "PATH=. ls",
        "sh -c 'ls; touch ran'",
        "eval 'touch ran'",
        "find . -exec touch ran {} +",
        "f() { touch ran; }; f",
        "for x in '$(touch ran)'; do ls ${x@P}; done",
    )
    model = script(*map(command, asked), {"text": "Done."}, name="asked.json")
    client, _ = run_turns(start, model, project, "reject_once")
    assert [q["toolCall"]["rawInput"]["command"] for q in questions(client)] == list(asked)
    assert not (project / "ran").exists()


def test_never_wins_over_allow_and_over_auto(
    start: Start, script: Script, project: Path, punie: Punie
) -> None:
    model = script(command("touch ran"), {"text": "Done."}, repeat=True)
    client, session = run_turns(start, model, project, "reject_always")
    call = last_call(client, session)
    assert call["status"] == "failed"
    assert "a rule of the user forbids `touch *`" in str(call["content"])
    assert punie().stdout == "  1  never allow `touch *`\n"
    assert punie("--allow", "touch ran", "--allow", "touch *").returncode == 0
    client.kill()
    client, session = run_turns(start, model, project, "allow_once", mode="auto")
    assert questions(client) == []
    assert last_call(client, session)["status"] == "failed"
    hidden = script(
        command("sh -c '/usr/bin/touch ran'"),
        command("ls | xargs -I{} touch ran"),
        command("$(echo touch) ran"),
        {"text": "Done."},
        name="hidden.json",
    )
    client, session = run_turns(start, hidden, project, "allow_once", mode="auto")
    assert questions(client) == []
    assert not (project / "ran").exists()


def test_what_cannot_be_read_is_asked_about_in_auto_when_something_is_forbidden(
    start: Start, script: Script, project: Path, punie: Punie
) -> None:
    line = "$(printf 'to%s' uch) ran"
    model = script(command(line), {"text": "Done."}, repeat=True)
    punie("--deny", "touch *")
    client, _ = run_turns(start, model, project, "reject_once", mode="auto")
    assert len(questions(client)) == 1
    assert not (project / "ran").exists()
    punie("--revoke", "1")
    client, _ = run_turns(start, model, project, "reject_once", mode="auto")
    assert questions(client) == []
    assert (project / "ran").exists()


def test_plan_mode_changes_nothing_whatever_is_allowed(
    start: Start, script: Script, project: Path, punie: Punie
) -> None:
    punie("--allow", "touch *")
    punie("--tool", "edit", "--allow", "**")
    model = script(command("touch ran"), write("new.py"), {"text": "Done."})
    client, session = run_turns(start, model, project, "allow_once", mode="plan")
    assert questions(client) == []
    assert [path.name for path in project.iterdir()] == ["app.py"]
    calls = merged_calls(client.updates(session)).values()
    assert [call["status"] for call in calls] == ["failed", "failed"]


@pytest.mark.parametrize("mode", ["ask", "accept_edits", "auto"])
def test_a_malformed_file_leaves_only_reading(
    start: Start, script: Script, project: Path, punie: Punie, mode: str
) -> None:
    file = Path(punie("--path").stdout.strip())
    file.parent.mkdir(parents=True)
    file.write_text('[[rules]]\ndecision = "allow"\ncommand = "touch *"\n\n[[rules]]\noops\n')
    read = {"calls": [{"tool": "read_file", "arguments": {"path": "app.py"}}]}
    model = script(command("touch ran"), write("new.py"), read, {"text": "Done."}, repeat=True)
    client, session = run_turns(start, model, project, "allow_once", mode=mode)
    assert questions(client) == []
    assert [path.name for path in project.iterdir()] == ["app.py"]
    calls = list(merged_calls(client.updates(session)).values())
    assert [call["status"] for call in calls] == ["failed", "failed", "completed"]
    sentence = f"Nothing but reading runs until this is corrected: {file}, line 6: "
    assert client.text(session).count(sentence) == 1
    assert f"{file}, line 6" in str(calls[0]["content"])
    file.write_text('[[rules]]\ndecision = "allow"\ncommand = "touch *"\n')
    client.prompt(session)
    assert (project / "ran").exists()


def test_a_repository_may_only_forbid(
    start: Start, script: Script, project: Path, punie: Punie
) -> None:
    own = project / ".punie" / "permissions.toml"
    own.parent.mkdir()
    own.write_text('[[rules]]\ndecision = "deny"\ncommand = "touch *"\n')
    punie("--allow", "touch *")
    model = script(command("touch ran"), {"text": "Done."}, repeat=True)
    client, session = run_turns(start, model, project, "allow_once", mode="auto")
    assert not (project / "ran").exists()
    own.write_text('[[rules]]\ndecision = "allow"\ncommand = "touch *"\n')
    client.prompt(session)
    assert not (project / "ran").exists()
    assert f"{own}, line 2: a project's own file may only deny." in client.text(session)
    own.unlink()
    client.prompt(session)
    assert (project / "ran").exists()
    assert questions(client) == []


def test_what_is_changed_while_a_session_is_open_counts_at_once(
    start: Start, script: Script, project: Path, punie: Punie
) -> None:
    model = script(command("echo x >> ran"), {"text": "Done."}, repeat=True)
    client, session = run_turns(start, model, project, "allow_always")
    client.answer = choosing("reject_once")
    client.prompt(session)
    assert len(questions(client)) == 1
    assert punie("--revoke", "1").returncode == 0
    client.prompt(session)
    assert len(questions(client)) == 2
    punie("--deny", "echo *")
    client.prompt(session)
    assert len(questions(client)) == 2
    assert (project / "ran").read_text() == "x\nx\n"


def test_edits_of_a_folder(start: Start, script: Script, project: Path, punie: Punie) -> None:
    (project / "src").mkdir()
    model = script(write("src/a.py"), write("src/deep/b.py"), write("c.py"), {"text": "Done."})
    client = start(model)
    answers = iter(["allow_always_pattern", "reject_once"])
    client.answer = lambda request: choosing(next(answers))(request)
    session = opened(client, project)
    assert client.prompt(session) == "end_turn"
    assert len(questions(client)) == 2
    assert (project / "src" / "deep" / "b.py").exists()
    assert not (project / "c.py").exists()
    assert punie().stdout == "  1  always allow edits in `src/**`\n"


def test_an_answer_that_was_not_offered_stores_nothing(
    start: Start, script: Script, project: Path, punie: Punie
) -> None:
    model = script(command("rm -rf app.py"), {"text": "Done."})
    client = start(model)
    chosen = {"outcome": "selected", "optionId": "allow_always_pattern"}
    client.answer = lambda request: {"outcome": chosen}
    session = opened(client, project)
    assert client.prompt(session) == "end_turn"
    assert (project / "app.py").exists()
    assert "There are no rules" in punie().stdout


def test_the_slash_command_lists_and_revokes(
    start: Start, script: Script, project: Path, punie: Punie
) -> None:
    client = start(script({"text": "Hi."}))
    session = opened(client, project)
    punie("--allow", "pytest *", "--deny", "git push *")
    client.prompt(session, "/permissions")
    assert "1. always allow `pytest *`\n2. never allow `git push *`" in client.text(session)
    client.prompt(session, "/permissions revoke 1")
    assert "Revoked: always allow `pytest *`." in client.text(session)
    assert punie().stdout == "  1  never allow `git push *`\n"


def test_the_model_cannot_grant_itself_anything(
    start: Start, script: Script, project: Path, environment: dict[str, str]
) -> None:
    # A project that holds the person's settings, as a folder of dotfiles does.
    config = project / "config"
    environment["PUNIE_CONFIG_DIR"] = str(config)
    grant = '[[rules]]\ndecision = "allow"\nline = "touch ran"\n'
    own: list[Any] = [write("config/permissions/x.toml", grant), write(".punie/permissions.toml")]
    client, _ = run_turns(
        start, script(*own, {"text": "Done."}), project, "reject_once", mode="accept_edits"
    )
    assert len(questions(client)) == 2
    assert not (config / "permissions").exists()


def test_a_question_hides_nothing_and_a_yes_holds_for_the_file_that_it_named(
    start: Start, script: Script, project: Path
) -> None:
    hooks, shown = project / ".git" / "hooks", project / "src" / "shown"
    for folder in (hooks, shown):
        folder.mkdir(parents=True)
    client = start(
        script(
            write("src/shown/post-checkout"),
            command("touch made # \u202e\u200bkool"),
            {"text": "Done."},
        )
    )

    def answer(request: Json) -> Json:
        if not shown.is_symlink():
            shown.rmdir()
            shown.symlink_to(hooks)
        return choosing("allow_once")(request)

    client.answer = answer
    session = opened(client, project)
    assert client.prompt(session) == "end_turn"
    written, ran = (question["toolCall"] for question in questions(client))
    assert written["title"] == "Create src/shown/post-checkout"
    assert not list(hooks.iterdir())
    assert ran["title"] == "`touch made # \\u202e\\u200bkool`"
    assert "\u202e" not in str(ran["content"])
    assert (project / "made").exists()
