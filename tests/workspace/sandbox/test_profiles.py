"""What the two mechanisms are told, as text: nothing is run."""

from pathlib import Path

import pytest

from punie.workspace.sandbox.blocked import what_was_blocked
from punie.workspace.sandbox.bubblewrap import Bubblewrap
from punie.workspace.sandbox.seatbelt import Seatbelt, profile
from punie.workspace.sandbox.view import SandboxOptions, View, view_of

SERVICES = "services of this machine"
LOCAL = "network, servers on this machine included"
ROOT, SCRATCH = Path("/code/project"), Path("/scratch")


def view(**changed: object) -> View:
    values: dict[str, object] = {
        "writable": (ROOT, ROOT / ".git"),
        "guarded": (ROOT / ".git" / "hooks", ROOT / ".git" / "config", ROOT / ".idea"),
        "absent": (ROOT / ".vscode",),
        "hidden": (Path("/home/u/.ssh"),),
        "caches": (),
        "needed": (),
        "scratch": SCRATCH,
        "network": False,
        **changed,
    }
    return View(**values)  # type: ignore[arg-type]


def position(text: str, part: str) -> int:
    assert part in text
    return text.index(part)


def test_seatbelt_forbids_before_it_allows_and_guards_last() -> None:
    text = profile(view(), strict=True)
    assert text.startswith("(version 1)\n(allow default)\n")
    everything = position(text, "(deny file-write*)\n")
    root = position(text, '(allow file-write* (subpath "/code/project"))')
    hooks = position(text, '(deny file-write* (subpath "/code/project/.git/hooks"))')
    missing = position(text, '(deny file-write* (subpath "/code/project/.vscode"))')
    assert everything < root < min(hooks, missing)
    position(text, '(deny file-write-unlink (literal "/code/project/.git"))')
    position(text, '(deny file-read* file-write* (subpath "/home/u/.ssh"))')
    assert position(text, "(deny network*)") < position(text, '(remote ip "localhost:*")')
    assert text.count("(") == text.count(")")


def test_seatbelt_leaves_out_what_is_not_wanted() -> None:
    text = profile(view(network=True), strict=False)
    assert "network" not in text
    assert "lsopen" not in text


@pytest.mark.parametrize("name", ['quote"d', "back\\slash", "paren)(theses"])
def test_no_name_of_a_folder_breaks_out_of_the_profile(name: str) -> None:
    text = profile(view(writable=(Path("/code") / name,)), strict=True)
    (line,) = [
        line
        for line in text.splitlines()
        if line.startswith("(allow file-write* (sub") and "/code/" in line
    ]
    inner = line.removeprefix('(allow file-write* (subpath "').removesuffix('"))')
    assert inner.replace("\\\\", "\0").replace('\\"', '"').replace("\0", "\\") == f"/code/{name}"


def test_seatbelt_runs_the_command_behind_the_profile() -> None:
    words = Seatbelt("/usr/bin/sandbox-exec", strict=True).wrap(["sh", "-c", "x"], ROOT, view())
    assert words[:2] == ["/usr/bin/sandbox-exec", "-p"]
    assert words[3:] == ["sh", "-c", "x"]


def test_bubblewrap_mounts_a_folder_before_what_is_in_it() -> None:
    way = Bubblewrap("bwrap", "bubblewrap 0", True, True, True)
    words = way.wrap(["sh"], ROOT, view(hidden=(ROOT / "keys",), caches=(Path("/home/u/.cache"),)))
    order = [
        words.index(path, words.index("--ro-bind"))
        for path in ("/", str(ROOT), f"{ROOT}/.git", f"{ROOT}/.git/hooks")
    ]
    assert order == sorted(order)
    assert words[-5:] == ["/bin/sh", "-c", words[-3], "sh", "sh"]
    assert "--unshare-net" in words
    assert "--unshare-net" not in way.wrap(["sh"], ROOT, view(network=True))


def test_a_view_follows_links_and_leaves_out_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "real" / ".idea").mkdir(parents=True)
    (tmp_path / "root").symlink_to("real")
    (tmp_path / "home" / "dotfiles" / "ssh").mkdir(parents=True)
    (tmp_path / "home" / ".ssh").symlink_to("dotfiles/ssh")
    seen = view_of(
        [tmp_path / "root"],
        SandboxOptions(write=(tmp_path / "gone",)),
        {"HOME": str(tmp_path / "home"), "PATH": f"relative:{tmp_path}/real/bin"},
        tmp_path,
        [tmp_path / "nowhere"],
    )
    assert seen.writable == (tmp_path / "real",)
    assert seen.guarded == (tmp_path / "real" / ".idea",)
    assert seen.absent == (tmp_path / "real" / ".vscode", tmp_path / "real" / ".punie")
    assert seen.hidden == (tmp_path / "home" / "dotfiles" / "ssh",)
    assert seen.needed == (tmp_path / "home", tmp_path / "real")


@pytest.mark.parametrize(
    ("output", "network", "blocked"),
    [
        (
            "cannot make `/usr/x`: Read-only file system (os error 30)",
            False,
            "writing to /usr/x",
        ),
        (
            "ERR! EROFS: read-only file system, open '/usr/lib/x'",
            False,
            "writing to /usr/lib/x",
        ),
        ("something: Read-only file system", False, "writing outside the workspace"),
        ("fatal: unable to access 'https://h/': Could not resolve host: h", False, "network"),
        ("npm ERR! code EAI_AGAIN", False, "network"),
        ("Temporary failure resolving 'deb.debian.org'", False, "network"),
        ("dial tcp: lookup proxy.golang.org: no such host", False, "network"),
        ("Cannot connect to the Docker daemon at unix:///x", True, SERVICES),
        ("Failed to connect to user scope bus via local transport", False, SERVICES),
        ('sudo: The "no new privileges" flag is set', False, "acting as another user"),
        ("error sending request: dns error: failed to lookup address", False, "network"),
        ("socket.gaierror: [Errno -2] Name or service not known", False, "network"),
        ("socket.gaierror: [Errno -2] Name or service not known", True, None),
        ('server at "localhost" failed: Connection refused', False, LOCAL),
        ("bash: /code/project/run.sh: Permission denied", False, None),
        ("AssertionError: 'Connection refused' not raised", False, None),
        ("", False, None),
    ],
)
def test_what_a_failure_says(output: str, network: bool, blocked: str | None) -> None:
    seen = view(network=network)
    assert what_was_blocked(1, output, ROOT, seen, Path("/tmp")) == blocked
    assert what_was_blocked(0, output, ROOT, seen, Path("/tmp")) is None
