"""Which sandbox is found, and that one that does not confine is not taken for one."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from punie.workspace.sandbox.bubblewrap import Bubblewrap
from punie.workspace.sandbox.detect import NoSandbox, fault_of, find_sandbox, first_that_works


@pytest.fixture
def works() -> Bubblewrap:
    found = find_sandbox()
    if not isinstance(found, Bubblewrap):
        pytest.skip(f"no bubblewrap works here: {found}")
    return found


def test_what_works_is_found_once(works: Bubblewrap) -> None:
    assert find_sandbox() is works
    assert works.name.startswith("bubblewrap ")


def test_every_way_of_confining(works: Bubblewrap) -> None:
    for user_namespace, own_processes, overlay in [(True, True, False), (True, False, True)]:
        way = replace(
            works, user_namespace=user_namespace, own_processes=own_processes, overlay=overlay
        )
        assert fault_of(way) is None


def test_what_confines_nothing_is_told(tmp_path: Path) -> None:
    # It runs the command and no more: what comes behind the two dashes.
    pretender = tmp_path / "bwrap"
    pretender.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n')
    pretender.chmod(0o755)
    way = Bubblewrap(str(pretender), "bubblewrap 9", False, True, True)
    assert fault_of(way) == "it lets commands write everywhere"
    missing = replace(way, program="/nowhere/bwrap")
    assert first_that_works([missing, way]) == NoSandbox(
        "[Errno 2] No such file or directory: '/nowhere/bwrap'"
    )


def test_the_next_way_is_taken_when_one_fails(works: Bubblewrap, tmp_path: Path) -> None:
    # As where the kernel does not let this bwrap do something.
    picky = tmp_path / "bwrap"
    picky.write_text(
        '#!/bin/sh\nfor word; do [ "$word" = --tmp-overlay ] && echo "bwrap: no overlay" >&2'
        f' && exit 1; done\nexec {works.program} "$@"\n'
    )
    picky.chmod(0o755)
    first = replace(works, program=str(picky), overlay=True)
    assert fault_of(first) == "bwrap: no overlay"
    second = replace(first, overlay=False)
    assert first_that_works([first, second]) == second


def test_where_proc_cannot_be_mounted(works: Bubblewrap) -> None:
    # As in a container: what hides a part of /proc forbids a new one in a user namespace.
    code = (
        "from punie.workspace.sandbox.detect import find_sandbox as f; found = f();"
        "print(found.user_namespace, found.own_processes)"
    )
    outer = [works.program, "--dev-bind", "/", "/", "--proc", "/proc", "--tmpfs", "/proc/fs"]
    drop = ["setpriv", "--bounding-set", "-sys_admin"]
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can build this container")
    done = subprocess.run(
        [*outer, *drop, sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "True False", done.stderr


def test_a_project_does_not_bring_its_own(
    works: Bubblewrap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    for name in ("bwrap", "sandbox-exec"):
        brought = tmp_path / "project" / "bin" / name
        brought.parent.mkdir(parents=True, exist_ok=True)
        brought.write_text(f'#!/bin/sh\ntouch {ran}\nexec {works.program} "$@"\n')
        brought.chmod(0o755)
    monkeypatch.setenv("PATH", f"{brought.parent}:{os.environ['PATH']}")
    assert find_sandbox((tmp_path / "project",)) == works
    assert not ran.exists()
