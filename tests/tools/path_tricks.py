"""Paths that try to lead out of a project, generated from the ways in which they are written."""

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

CANARY = "the-canary-must-not-sing"
"""What stands in the file outside."""
CANARY_NAME = "canary-outside.txt"


def build_project(tmp_path: Path) -> tuple[Path, Path]:
    """Make a project and a folder outside, with links of all kinds between them."""
    root, outside = tmp_path / "project", tmp_path / "outside"
    (root / "src" / "deep").mkdir(parents=True)
    (root / "src" / "a.py").write_text("a = 1\n")
    (root / "notes.txt").write_text("notes\n")
    outside.mkdir()
    (outside / CANARY_NAME).write_text(f"{CANARY}\n")
    for name, target in {
        "out": str(outside),
        "out_relative": "../outside",
        "out_file": str(outside / CANARY_NAME),
        "chain": "out",
        "chain_file": "chain/" + CANARY_NAME,
        "up": "..",
        "src/up": "../..",
        "fs": "/",
        "proc": "/proc/self/root",
        "cwd": "/proc/self/cwd",
        "fds": "/dev/fd",
        "loop": "loop",
        "ring": "ring2",
        "ring2": "ring",
        "dangling": str(outside / "not-there-yet.txt"),
        "inside": "src/../../project/../outside",
        "dots": "src/deep/../../../outside/" + CANARY_NAME,
    }.items():
        (root / name).symlink_to(target)
    return root, outside


def path_tricks(root: Path, outside: Path) -> list[str]:
    """Return the paths, each once."""
    return list(dict.fromkeys(_tricks(root, outside)))


def _tricks(root: Path, outside: Path) -> Iterator[str]:
    relative = os.path.relpath(outside, root)
    targets = [relative, f"{relative}/{CANARY_NAME}"]
    prefixes = [
        "",
        "./",
        ".//",
        "src/../",
        "src/deep/../../",
        "missing/../",
        "././src/./../",
        f"{root}/",
    ]
    for target in targets:
        for prefix in prefixes:
            yield prefix + target
            yield (prefix + target).replace("/", "//")
            yield prefix + target + "/"
            yield prefix + target + "/."
    absolute = [str(outside), str(outside / CANARY_NAME)]
    for target in absolute:
        yield from (
            target,
            f"/{target}",
            f"//{target}",
            f"/.{target}",
            f"/..{target}",
            f"{target}/",
        )
        yield from (f"/../../..{target}", f"{root}/..{target}", f"/tmp/..{target}", f"{target}//.")
        yield from (f"/proc/self/root{target}", f"/proc/1/root{target}", f"/proc/self/cwd{target}")
        yield from (
            f"file://{target}",
            f"file:{target}",
            f"FILE://localhost{target}",
            f"{target}\0",
        )
        yield from (
            quote(target, safe=""),
            target.upper(),
            target.swapcase(),
            f" {target}",
            f"{target} ",
        )
        yield from (
            target.replace("/", "\\"),
            f"\\\\?\\C:{target}",
            f"smb:{target}",
            f"{target}:$DATA",
        )
    links = ["out", "out_relative", "chain", "up", "src/up", "fs", "proc", "cwd", "inside"]
    for link in links:
        yield from (link, f"{link}/", f"{link}/.", f"./{link}/..", f"{link}/{CANARY_NAME}")
        yield f"{link}/outside/{CANARY_NAME}"
        yield f"{link}{outside}/{CANARY_NAME}"
    yield from ("out_file", "chain_file", "dots", "dangling", "loop", "ring", "loop/x", "fds/0")
    yield from (f"loop/../../outside/{CANARY_NAME}", "ring/../out", f"src/up/outside/{CANARY_NAME}")
    for device in [
        "stdin",
        "stdout",
        "stderr",
        "fd/0",
        "fd/1",
        "null",
        "zero",
        "full",
        "tty",
        "random",
        "mem",
        "ptmx",
    ]:
        yield f"/dev/{device}"
    for name in ["environ", "mem", "maps", "fd", "fd/0", "root", "cwd", "exe", "cmdline", "task"]:
        yield f"/proc/self/{name}"
    yield from (
        "/etc/passwd",
        "/etc/shadow",
        "/",
        "//",
        "/..",
        "///",
        "..",
        "../",
        "../.",
        "../..",
        ".. ",
    )
    yield from (
        "~",
        "~/",
        "~root",
        "~root/.ssh/id_rsa",
        "~+",
        "~-",
        "$HOME",
        "${HOME}/x",
        "%USERPROFILE%",
    )
    yield from ("$(cd ..; pwd)", "`pwd`/..", "$PWD/../outside", "{..,.}/outside", "*/../../outside")
    yield from (
        "\\\\server\\share\\x",
        "//server/share/x",
        "\\\\.\\PhysicalDrive0",
        "C:\\Windows",
        "C:/..",
    )
    for name in ("CON", "NUL", "AUX", "com1", "LPT1.txt", "nul.", "con:", "CLOCK$"):
        yield from (name, f"src/{name}")
    for dots in (
        "..",
        ".",
        "...",
        "....",
        "..;",
        "..%00",
        "%2e%2e",
        "%252e%252e",
        "..%2f",
        "..%5c",
    ):
        yield f"{dots}/outside/{CANARY_NAME}"
        yield f"src/{dots}/{dots}/outside/{CANARY_NAME}"
    # Characters that only look like dots and slashes, or that nobody can see.
    for other in (
        "．．",
        "․․",
        "‥",
        "..\u200b",
        "\u200b..",
        "\u202e..",
        "..\ufeff",
        "..\u00ad",
        "ꓸꓸ",
    ):
        yield f"{other}/outside/{CANARY_NAME}"
        yield f"src/{other}/{other}/outside/{CANARY_NAME}"
    for slash in ("／", "⁄", "∕", "⧸", "\\", "%2f", "%c0%af", "\u2044"):
        yield f"..{slash}outside{slash}{CANARY_NAME}"
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        yield f"../{unicodedata.normalize(form, 'óutside')}/../outside/{CANARY_NAME}"
    yield from (
        "\0",
        "a\0/../../outside",
        f"src/a.py\0../../outside/{CANARY_NAME}",
        "\ud800",
        "a\udcff/..",
    )
    yield from (
        " ",
        "",
        "\t",
        "\n",
        "..\n",
        "../outside\n",
        f"\n../outside/{CANARY_NAME}",
        "\r..",
        "../outside\t",
    )
    yield from (
        "a" * 255,
        "a" * 256,
        "a" * 5_000,
        "a/" * 400,
        "../" * 200,
        "./" * 400 + "../outside",
    )
    yield from (
        "x" * 300 + "/../../outside",
        "src/a.py/../../../outside",
        "notes.txt/../../outside",
    )
    yield from (
        f"notes.txt/{CANARY_NAME}",
        "src/a.py/",
        "src/a.py/.",
        ".git/../../outside",
        "-",
        "--",
        "-rf",
    )
    yield from ("-o/tmp/x", "@/etc/passwd", "@file", "data:,x", "https://example.org/", "git://x/y")
