"""Commands in a real sandbox: what they may do, what they may not, and how that is told."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from punie.workspace.base import CommandRequest, ProgramRequest
from punie.workspace.sandbox.confining import Sandbox
from punie.workspace.sandbox.view import SandboxOptions
from tests.processes import processes_of
from tests.workspace.sandbox.conftest import Confine

pytestmark = pytest.mark.anyio


async def test_what_a_command_may_do(confine: Confine) -> None:
    box = confine()
    command = (
        "pwd && echo text > made && mkdir sub && cat < made && echo $TMPDIR > $TMPDIR/kept"
        " && python3 -c 'import multiprocessing as m; print(m.Value(\"i\", 7).value)'"
        " && cat <(echo substituted) && test -r /etc/passwd && [ -d ~ ]"
    )
    result = await box.run(command)
    assert (result.exit_code, result.blocked) == (0, None)
    assert result.output == f"{box.root}\ntext\n7\nsubstituted\n"
    assert (box.root / "made").read_text() == "text\n"
    # Temporary files last as long as the workspace, and nobody else's are seen.
    assert (await box.run("cat /tmp/kept")).output == "/tmp\n"
    assert not Path("/tmp/kept").exists()


@pytest.mark.parametrize(
    ("command", "blocked"),
    [
        ("echo x > {home}/made", "writing to {home}/made"),
        ("touch /etc/punie-made", "writing to /etc/punie-made"),
        ('python3 -c \'open("/usr/made", "w")\'', "writing to /usr/made"),
        ("mkdir .vscode/deep", "writing to {root}/.vscode/deep"),
        ("touch .idea/workspace.xml", "writing to {root}/.idea/workspace.xml"),
        ("touch .git/hooks/pre-commit", "writing to {root}/.git/hooks/pre-commit"),
        ("git config core.fsmonitor evil", "writing to {root}/.git/config"),
        ("mv .git other", "writing to {root}/.git"),
        ("rm -r .git/hooks/update.sample", "writing to {root}/.git/hooks/update.sample"),
        ("cat {home}/.netrc", "reading {home}/.netrc"),
        ("cat {outside}", "reading {outside}, since commands have a /tmp of their own"),
        ("python3 -c 'import socket; socket.getaddrinfo(\"example.org\", 80)'", "network"),
        ("curl -sS http://example.org", "network"),
        ("curl -sS http://127.0.0.1:9", "network, servers on this machine included"),
        ("exit 3", None),
        ("cat nothing/here", None),
        ("cat /nothing/here", None),
        ("echo 'Read-only file system'", None),
    ],
)
async def test_what_is_blocked_is_told(
    confine: Confine, tmp_path: Path, command: str, blocked: str | None
) -> None:
    box = confine()
    subprocess.run(["git", "init", "-q", str(box.root)], check=True)
    (box.root / ".idea").mkdir()
    (box.home / ".netrc").write_text("machine x password s3cret", encoding="utf-8")
    outside = tmp_path / "outside.txt"
    outside.write_text("outside", encoding="utf-8")
    names = {"home": box.home, "root": box.root, "outside": outside}
    before = (box.root / ".git" / "config").read_text()
    result = await box.run(command.format(**names))
    assert result.blocked == (None if blocked is None else blocked.format(**names)), result.output
    assert "s3cret" not in result.output
    # It did not happen either.
    assert (box.root / ".git" / "config").read_text() == before
    assert not (box.root / ".git" / "hooks" / "pre-commit").exists()
    assert not list(box.home.glob("made"))
    assert not (box.root / ".vscode").exists()


async def test_the_kernels_settings_stay_as_they_are(confine: Confine) -> None:
    # Opened and not written to: root would change the whole machine, were it allowed.
    files = "/proc/sys/kernel/core_pattern /proc/sys/vm/drop_caches /sys/power/state /proc/fs/x"
    result = await confine().run(
        f"for file in {files} /proc/sysrq-trigger; do (: >> $file) && echo open; done"
    )
    assert "open\n" not in result.output
    inside = await confine().run("mount --bind / /mnt || mknod made b 254 0 || unshare -m true")
    assert inside.exit_code != 0


async def test_secrets_of_the_home_folder_are_not_there(confine: Confine) -> None:
    box = confine()
    for name in (".ssh", ".aws", ".gnupg", ".config/gh"):
        (box.home / name).mkdir(parents=True)
        (box.home / name / "key").write_text("s3cret", encoding="utf-8")
    result = await box.run("cat ~/.ssh/* ~/.aws/key; find ~ -type f | xargs cat; touch ~/.ssh/new")
    assert "s3cret" not in result.output
    assert (result.exit_code, result.blocked) == (1, f"reading {box.home}/.ssh/new")
    assert (await box.run("cat ~/.ssh/key", unsandboxed=True)).output == "s3cret"


async def test_a_folder_can_be_hidden(confine: Confine) -> None:
    box = confine()
    secret, beside = box.home / "answers", box.home / "others"
    for folder in (secret, beside):
        folder.mkdir()
        (folder / "of").write_text(f"in {folder.name}\n", encoding="utf-8")
    (box.root / "link").symlink_to(secret)
    hiding = confine(SandboxOptions(hide=(secret, box.home / "nowhere")))
    result = await hiding.run("cat link/of ~/answers/of; find ~ -type f | xargs cat")
    assert "in answers" not in result.output
    assert "in others" in result.output


async def test_a_secret_that_is_the_workspace_is_there(confine: Confine, tmp_path: Path) -> None:
    keys = tmp_path / "home" / ".aws" / "scripts"
    keys.mkdir(parents=True)
    (keys / "run").write_text("mine", encoding="utf-8")
    assert (await confine(at=keys).run("cat run")).output == "mine"


async def test_a_home_folder_as_the_workspace_hides_its_secrets(
    confine: Confine, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    (home / ".ssh").mkdir()
    (home / ".ssh" / "key").write_text("s3cret", encoding="utf-8")
    box = confine(at=home)
    assert "s3cret" not in (await box.run("cat .ssh/key; echo x > made")).output
    assert (home / "made").exists()


async def test_folders_that_stand_in_go_when_nothing_runs(confine: Confine) -> None:
    box = confine()
    started = await box.workspace.start(CommandRequest("sleep 60", box.root, 60.0))
    await box.run("true")
    # Kept while the other one runs.
    assert (box.root / ".vscode").is_dir()
    await box.workspace.background_output(started.id, stop=True)
    assert list(box.root.iterdir()) == []


async def test_another_command_that_ends_before_one_starts_takes_nothing_from_it(
    confine: Confine,
) -> None:
    root = confine().root
    sandbox = Sandbox([root], SandboxOptions())

    async def launch() -> list[str]:
        return (await sandbox.launch(["touch", ".vscode/x"], root, os.environ)).arguments

    def fails(arguments: list[str]) -> bool:
        done = subprocess.run(arguments, cwd=root, capture_output=True, check=False, text=True)
        return done.stderr.startswith("touch: cannot touch '.vscode/x': Read-only file system")

    first = await launch()
    sandbox.tidy()
    assert fails(first)
    # What stands in for the folder is there now, and gone before the second one starts.
    second = await launch()
    sandbox.tidy()
    assert list(root.iterdir()) == []
    assert fails(second)
    sandbox.close()
    assert list(root.iterdir()) == []


async def test_what_is_written_into_such_a_folder_meanwhile_stays(confine: Confine) -> None:
    box = confine()
    started = await box.workspace.start(CommandRequest("sleep 60", box.root, 60.0))
    path = box.workspace.resolve(".vscode/settings.json")
    await box.workspace.write_text(path, "{}")
    await box.workspace.background_output(started.id, stop=True)
    assert path.read_text() == "{}"
    assert list(box.root.iterdir()) == [path.parent]


async def test_git_works_and_cannot_be_led_to_other_settings(confine: Confine) -> None:
    box = confine()
    subprocess.run(["git", "init", "-q", str(box.root)], check=True)
    command = (
        "echo a > a && git add a && git -c user.name=a -c user.email=a@b commit -qm first"
        " && git branch other && git status --short && echo ../evil > .git/commondir"
    )
    result = await box.run(command)
    assert (result.exit_code, result.output) == (0, "")
    assert not (box.root / ".git" / "commondir").exists()


async def test_repositories_in_folders_cannot_be_led_to_other_settings(confine: Confine) -> None:
    box = confine()
    for name in ("one", "libs/two"):
        subprocess.run(["git", "init", "-q", str(box.root / name)], check=True)
    (box.root / "three").mkdir()
    (box.root / "three" / ".git").write_text("gitdir: ../one/.git\n")
    for command in (
        "git -C one config core.fsmonitor ./evil",
        "touch libs/two/.git/hooks/post-checkout",
        "mv one/.git one/other",
        "rm three/.git",
    ):
        assert (await box.run(command)).exit_code != 0, command
    done = (
        "cd one && echo a > a && git add a && git status --short && echo ../evil > .git/commondir"
    )
    assert (await box.run(done)).output == "A  a\n"
    assert not (box.root / "one" / ".git" / "commondir").exists()


async def test_the_environment_that_punie_runs_from_stays_as_it_is(
    confine: Confine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / "project" / ".venv"
    own.mkdir()
    monkeypatch.setattr(sys, "prefix", str(own))
    result = await confine().run("touch made && touch .venv/evil.pth")
    assert (result.exit_code, result.blocked) == (1, f"writing to {own}/evil.pth")


async def test_sockets_that_variables_name_are_not_reached(
    confine: Confine, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = confine()
    connect = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    with socket.socket(socket.AF_UNIX) as server:
        path = box.home / "engine.sock"
        server.bind(str(path))
        server.listen()
        command = f"python3 -c '{connect}' {path}"
        # On macOS no socket outside of the folder for temporary files is reached.
        assert (await box.run(command)).exit_code == 0 or sys.platform == "darwin"
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        assert (await box.run(command)).exit_code != 0


async def test_a_worktree_can_commit_and_not_change_the_repository_settings(
    confine: Confine, tmp_path: Path
) -> None:
    main, tree = tmp_path / "main", tmp_path / "tree"
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "-q", str(main)], check=True)
    subprocess.run(
        ["git", "-C", str(main), *identity, "commit", "-q", "--allow-empty", "-m", "first"],
        check=True,
    )
    subprocess.run(["git", "-C", str(main), "worktree", "add", "-q", str(tree)], check=True)
    box = confine(at=tree)
    commit = f"git {' '.join(identity)} commit -q --allow-empty -m second && git log --format=%s"
    assert (await box.run(commit)).output == "second\nfirst\n"
    for command in ("git config a.b c", f"touch {main}/.git/hooks/x"):
        assert (await box.run(command)).exit_code != 0
    # A file that points to a repository which knows nothing of it opens nothing.
    other = tmp_path / "other"
    subprocess.run(["git", "init", "-q", str(other)], check=True)
    (tree / ".git").write_text(f"gitdir: {other}/.git\n", encoding="utf-8")
    assert (await box.run(f"touch {other}/.git/x")).exit_code != 0


async def test_caches_are_read_and_what_is_written_is_forgotten(confine: Confine) -> None:
    box = confine()
    cache = box.home / ".cache"
    cache.mkdir()
    (cache / "old").write_text("cached", encoding="utf-8")
    result = await box.run("cat ~/.cache/old && echo poison > ~/.cache/old && echo x > ~/.cache/n")
    assert (result.exit_code, result.output) == (0, "cached")
    assert {path.name: path.read_text() for path in cache.iterdir()} == {"old": "cached"}


async def test_what_the_user_opens(confine: Confine, tmp_path: Path) -> None:
    more, own = tmp_path / "more", tmp_path / "project" / "state"
    more.mkdir()
    own.mkdir()
    box = confine(SandboxOptions(network=True, write=(more,), own=(own,)))
    result = await box.run(f"touch {more}/made && touch {own}/made")
    assert (result.exit_code, result.blocked) == (1, f"writing to {own}/made")
    assert (more / "made").exists()
    # Not the sandbox, so nothing is said of it.
    assert (await box.run("curl -sS http://127.0.0.1:9")).blocked is None


async def test_a_server_outside_is_reached_only_with_network(confine: Confine) -> None:
    with subprocess.Popen(
        ["python3", "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        port = server.stdout.readline().split("port ")[1].split()[0]
        fetch = f"curl -sS -o /dev/null -w '%{{http_code}}' http://127.0.0.1:{port}/"
        try:
            assert (await confine().run(fetch)).blocked == (
                "network, servers on this machine included"
            )
            assert (await confine(SandboxOptions(network=True)).run(fetch)).output == "200"
        finally:
            server.kill()


async def test_programs_are_confined_like_commands(confine: Confine) -> None:
    box = confine()
    code = "import sys; print(sys.stdin.read()); open('made', 'w'); open('/etc/made', 'w')"
    arguments = ("/usr/bin/env", "python3", "-c", code)
    result = await box.workspace.run_program(ProgramRequest(arguments, box.root, 30.0, b"given"))
    assert result.exit_code == 1
    assert result.stdout == "given\n"
    assert "Read-only file system: '/etc/made'" in result.stderr
    assert (box.root / "made").exists()


HOSTILE = {
    "daemon": "setsid sh -c 'sleep 6{mark} & sleep 6{mark}' & sleep 0.1; echo left",
    "nohup": "nohup sleep 6{mark} >/dev/null 2>&1 & disown; echo left",
    "fork": "for i in $(seq 60); do sleep 6{mark} & done; echo left",
    "group": "sleep 6{mark} & sleep 0.05; kill -9 0",
    "terminal": "sleep 6{mark} & python3 -c 'input()' < /dev/tty; exit 3",
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_nothing_survives_its_command(confine: Confine, kind: str) -> None:
    mark = f"1.{os.getpid()}{list(HOSTILE).index(kind)}"
    with anyio.fail_after(20):
        result = await confine().run(HOSTILE[kind].format(mark=mark))
    assert result.output.endswith("left\n") or result.exit_code != 0
    assert processes_of(f"6{mark}") == []


async def test_a_timeout_lets_a_command_clean_up_and_takes_all_along(confine: Confine) -> None:
    box = confine()
    mark = f"71.{os.getpid()}"
    kind = f"trap 'echo bye; exit 0' TERM; setsid sleep {mark} & sleep {mark} & wait; wait"
    result = await box.run(kind, timeout=0.6)
    assert (result.timed_out, result.output) == (True, "bye\n")
    stubborn = f"trap '' TERM; setsid sleep {mark} & while true; do sleep {mark}; done"
    assert (await box.run(stubborn, timeout=0.6)).timed_out
    assert processes_of(mark) == []


async def test_a_flood_and_a_full_temporary_folder(confine: Confine) -> None:
    box = confine()
    result = await box.run("yes | head -c 30000000; head -c 5000000 /dev/zero > /tmp/large")
    assert (result.exit_code, result.timed_out) == (0, False)
    assert result.omitted_bytes > 29_000_000
    folders = _folders()
    await box.workspace.aclose()
    assert len(folders - _folders()) == 1


async def test_closing_while_cancelled_leaves_nothing(confine: Confine) -> None:
    box = confine()
    folders = _folders()
    mark = f"72.{os.getpid()}"
    with anyio.CancelScope() as scope:
        await box.run(f"sleep {mark} & true")
        assert _folders() > folders
        scope.cancel()
        await box.workspace.aclose()
    assert _folders() == folders
    assert processes_of(mark) == []


async def test_many_commands_leave_no_process(confine: Confine) -> None:
    box = confine()
    mark = f"81.{os.getpid()}"
    for _ in range(100):
        assert (await box.run(f"setsid sleep {mark} & true")).exit_code == 0
    assert processes_of(mark) == []


async def test_exit_codes_and_signals(confine: Confine) -> None:
    box = confine()
    for command, code in (("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)):
        result = await box.run(command)
        assert (result.exit_code, result.output, result.blocked) == (code, "", None)


async def test_background_commands_are_confined(confine: Confine) -> None:
    box = confine()
    started = await box.workspace.start(
        CommandRequest("echo ready; touch /etc/punie-made", box.root, 60.0)
    )
    assert (started.exit_code, started.children) == (1, False)
    assert started.blocked == "writing to /etc/punie-made"
    mark = f"91.{os.getpid()}"
    running = await box.workspace.start(CommandRequest(f"setsid sleep {mark}", box.root, 60.0))
    assert processes_of(mark)
    assert running.exit_code is None
    await box.workspace.background_output(running.id, stop=True)
    assert processes_of(mark) == []


def _folders() -> set[Path]:
    return set(Path("/tmp").glob(f"punie-commands-{os.getpid()}-*"))
