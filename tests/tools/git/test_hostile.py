"""Repositories that came from elsewhere: nothing that they configure runs, nothing else is read."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from punie.workspace.checkpoints.git_objects import read_objects
from tests.tools.git.conftest import Repo, commit_all, git, repo_at

pytestmark = pytest.mark.anyio

COMMANDS = (
    ("status", None, None),
    ("diff", None, None),
    ("diff", None, "staged"),
    ("diff", None, "unstaged"),
    ("diff", None, "HEAD~1"),
    ("diff", None, "HEAD~1..HEAD"),
    ("log", None, None),
    ("log", "a.txt", None),
    ("show", None, None),
    ("show", "a.txt", "HEAD~1"),
    ("blame", "a.txt", None),
    ("blame", "a.txt", "HEAD~1"),
)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program that leaves a trace beside itself."""
    path = tmp_path / "evil"
    path.write_text(f'#!/bin/sh\necho "$0 $@" >> "{tmp_path}/ran"\n')
    path.chmod(0o755)
    return path


def ran(program: Path) -> str:
    trace = program.with_name("ran")
    text = trace.read_text() if trace.exists() else ""
    trace.unlink(missing_ok=True)
    return text


@pytest.fixture
def victim(repo: Repo) -> Repo:
    """A repository with two commits and changes everywhere."""
    repo.file("a.txt", "one\n")
    repo.file("b.txt", "one\n")
    repo.commit("First")
    repo.file("a.txt", "two\n")
    repo.commit("Second")
    repo.file("a.txt", "three\n")
    repo.file("b.txt", "two\n")
    repo.git("add", "b.txt")
    repo.file("new.txt", "x\n")
    return repo


async def every_command(repo: Repo) -> None:
    for command, path, ref in COMMANDS:
        answer = await repo.ask(command, path, ref)
        assert not answer.startswith("error"), (command, path, ref, answer)


def attributes(repo: Repo, *names: str) -> None:
    repo.file(".git/info/attributes", "".join(f"* {name}\n" for name in names))


Plant = Callable[[Repo, Path], None]


def fsmonitor(repo: Repo, program: Path) -> None:
    repo.git("config", "core.fsmonitor", str(program))


def hooks(repo: Repo, program: Path) -> None:
    for folder in (".git/hooks", "tracked-hooks"):
        (repo.root / folder).mkdir(exist_ok=True)
        for name in ("post-index-change", "fsmonitor-watchman", "reference-transaction"):
            shutil.copy(program, repo.root / folder / name)
    repo.git("config", "core.hooksPath", "tracked-hooks")
    (repo.root / "b.txt").touch()


def filters(repo: Repo, program: Path) -> None:
    attributes(repo, "filter=x")
    for kind in ("clean", "smudge", "process"):
        repo.git("config", f"filter.x.{kind}", str(program))
    repo.git("config", "filter.x.required", "true")


def a_clean_filter(repo: Repo, program: Path) -> None:
    attributes(repo, "filter=x")
    repo.git("config", "filter.x.clean", str(program))


def a_filter_with_an_equals_sign(repo: Repo, program: Path) -> None:
    attributes(repo, "filter=a=b.clean")
    repo.git("config", "filter.a=b.clean.clean", str(program))


def a_filter_that_is_included(repo: Repo, program: Path) -> None:
    attributes(repo, "filter=in")
    repo.file(".git/more", f'[filter "in"]\n\tclean = {program}\n')
    repo.git("config", "include.path", "more")


def a_filter_of_the_work_tree(repo: Repo, program: Path) -> None:
    attributes(repo, "filter=w")
    repo.git("config", "extensions.worktreeConfig", "true")
    repo.git("config", "--worktree", "filter.w.clean", str(program))


def differs(repo: Repo, program: Path) -> None:
    attributes(repo, "diff=x")
    repo.git("config", "diff.external", str(program))
    repo.git("config", "diff.x.command", str(program))


def text_converters(repo: Repo, program: Path) -> None:
    attributes(repo, "diff=x")
    repo.git("config", "diff.x.textconv", str(program))
    repo.git("config", "diff.x.cachetextconv", "true")


def signatures(repo: Repo, program: Path) -> None:
    text = repo.git("cat-file", "commit", "HEAD").decode()
    head, _, message = text.partition("\n\n")
    signed = repo.root / "signed"
    signed.write_text(
        f"{head}\ngpgsig -----BEGIN PGP SIGNATURE-----\n x\n -----END PGP SIGNATURE-----\n\n"
        + message
    )
    id = repo.git("hash-object", "-t", "commit", "-w", "signed").decode().strip()
    signed.unlink()
    repo.git("update-ref", "refs/heads/main", id)
    repo.git("config", "log.showSignature", "true")
    repo.git("config", "gpg.program", str(program))


@pytest.mark.parametrize(
    ("plant", "trigger"),
    [
        (fsmonitor, ["status"]),
        (hooks, ["status"]),
        (filters, ["diff"]),
        (a_clean_filter, ["status"]),
        (a_filter_with_an_equals_sign, ["diff"]),
        (a_filter_that_is_included, ["diff"]),
        (a_filter_of_the_work_tree, ["diff"]),
        (differs, ["diff"]),
        (text_converters, ["blame", "a.txt"]),
        (signatures, ["log"]),
    ],
)
async def test_no_configured_program_runs(
    victim: Repo, program: Path, plant: Plant, trigger: list[str]
) -> None:
    plant(victim, program)
    index = (victim.root / ".git/index").read_bytes()
    await every_command(victim)
    assert not ran(program)
    assert (victim.root / ".git/index").read_bytes() == index
    # What was planted does run where nobody takes care.
    subprocess.run(["git", *trigger], cwd=victim.root, capture_output=True, timeout=10, check=False)
    assert ran(program)


async def test_a_pager_and_aliases_do_not_run(victim: Repo, program: Path) -> None:
    for key in ("core.pager", "pager.status", "pager.diff", "pager.log", "core.editor"):
        victim.git("config", key, str(program))
    for command, _, _ in COMMANDS:
        victim.git("config", f"alias.{command}", f"!{program}")
    await every_command(victim)
    assert not ran(program)


async def test_a_submodule_s_configuration_does_not_run(
    victim: Repo, program: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    (other / "f").write_text("1\n")
    commit_all(other)
    victim.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "sub")
    inner = repo_at(victim.root / "sub")
    inner.file("f", "2\n")
    (victim.root / ".git/modules/sub/info").mkdir(exist_ok=True)
    (victim.root / ".git/modules/sub/info/attributes").write_text("* filter=x\n")
    inner.git("config", "filter.x.clean", str(program))
    inner.git("config", "core.fsmonitor", str(program))
    victim.git("config", "diff.ignoreSubmodules", "none")
    victim.git("config", "status.submoduleSummary", "true")
    victim.git("config", "diff.submodule", "log")
    await every_command(victim)
    assert not ran(program)
    git(victim.root, "status")
    assert ran(program)


async def test_missing_objects_are_not_fetched(victim: Repo, program: Path) -> None:
    victim.git("config", "extensions.partialClone", "origin")
    victim.git("config", "core.repositoryFormatVersion", "1")
    victim.git("config", "remote.origin.promisor", "true")
    victim.git("config", "core.sshCommand", str(program))
    victim.git("config", "protocol.allow", "always")
    blob = victim.git("rev-parse", "HEAD~1:a.txt").decode().strip()
    (victim.root / ".git/objects" / blob[:2] / blob[2:]).unlink()
    for url in ("ssh://nowhere.invalid/x", f"ext::{program}", str(victim.root)):
        victim.git("config", "remote.origin.url", url)
        victim.git("config", "remote.origin.uploadpack", str(program))
        for command, path, ref in COMMANDS:
            answer = await victim.ask(command, path, ref)
            assert "\n" not in answer or not answer.startswith("error")
        assert not ran(program)
        git(victim.root, "show", "HEAD", fails=True)
        assert ran(program)


async def test_a_filter_of_the_user_does_run(
    victim: Repo, program: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text(f'[filter "mine"]\n\tclean = {program}\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    attributes(victim, "filter=mine")
    await victim.ask("diff")
    assert ran(program)
    # But not what the repository makes of a filter with that name.
    victim.git("config", "filter.mine.clean", f"{program} theirs")
    await every_command(victim)
    assert "theirs" not in ran(program)


async def test_a_git_of_the_project_is_not_run(victim: Repo, program: Path) -> None:
    folder = victim.root / ".venv/bin"
    folder.mkdir(parents=True)
    for name in ("git", "python"):
        shutil.copy(program, folder / name)
    assert not (await victim.ask("status")).startswith("error")
    assert not ran(program)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Another repository of the user, which the workspace has no business with."""
    folder = tmp_path / "secret"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "a.txt").write_text("password\n")
    commit_all(folder, "Top secret")
    return folder


def by_file(root: Path, secret: Path) -> None:
    (root / ".git").write_text(f"gitdir: {secret}/.git\n")


def by_link(root: Path, secret: Path) -> None:
    (root / ".git").symlink_to(secret / ".git")


def by_common_folder(root: Path, secret: Path) -> None:
    (root / ".git").mkdir()
    (root / ".git/HEAD").write_text("ref: refs/heads/main\n")
    (root / ".git/commondir").write_text(f"{secret}/.git\n")


def by_claiming_to_be_its_work_tree(root: Path, secret: Path) -> None:
    (root / ".git").mkdir()
    (root / ".git/HEAD").write_text("ref: refs/heads/main\n")
    (root / ".git/commondir").write_text(f"{secret}/.git\n")
    (root / ".git/gitdir").write_text(f"{root}/.git\n")
    (root / ".git/config").write_text(f"[core]\n\tworktree = {root}\n")


@pytest.mark.parametrize(
    "lead", [by_file, by_link, by_common_folder, by_claiming_to_be_its_work_tree]
)
async def test_another_repository_is_not_read(
    tmp_path: Path, secret: Path, lead: Callable[[Path, Path], None]
) -> None:
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "a.txt").write_text("x\n")
    lead(root, secret)
    workspace = repo_at(root)
    assert b"Top secret" in git(root, "log")
    for command, path, ref in COMMANDS:
        answer = await workspace.ask(command, path, ref)
        assert answer.startswith("error: the .git of this folder leads to another repository")


async def test_files_elsewhere_are_not_read(victim: Repo, secret: Path) -> None:
    victim.git("config", "core.worktree", str(secret))
    for command, path, ref in COMMANDS:
        assert (await victim.ask(command, path, ref)).startswith("error: ")
    # The folder above the workspace as its work tree shows nothing of what lies beside it.
    victim.git("config", "core.worktree", str(secret.parent))
    for command, path, ref in COMMANDS:
        assert "secret" not in await victim.ask(command, path, ref)


async def test_links_are_not_followed(victim: Repo, secret: Path) -> None:
    (victim.root / "link").symlink_to(secret)
    victim.git("add", "link")
    assert "password" not in await victim.ask("diff")
    for path in ("link/a.txt", "../secret/a.txt", str(secret), "~/x"):
        for command, _, _ in COMMANDS:
            assert "workspace" in await victim.ask(command, path)


@pytest.mark.parametrize(
    "name", ["packed-refs", "shallow", "MERGE_HEAD", "refs/heads/other", "objects/info/alternates"]
)
async def test_data_that_is_a_link_is_not_read(victim: Repo, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.write_text("first line of a secret\nAPI=second\n")
    (victim.root / ".git" / name).parent.mkdir(exist_ok=True)
    (victim.root / ".git" / name).symlink_to(outside)
    for command, path, ref in COMMANDS:
        answer = await victim.ask(command, path, ref)
        assert answer.startswith(f"error: {name} in the .git of this folder is a link that leads")


async def test_a_branch_of_another_repository_is_not_shown(victim: Repo, secret: Path) -> None:
    (victim.root / ".git/objects/info").mkdir(exist_ok=True)
    (victim.root / ".git/objects/info/alternates").write_text(f"{secret}/.git/objects\n")
    (victim.root / ".git/refs/heads/x").symlink_to(secret / ".git/refs/heads/main")
    assert b"Top secret" in victim.git("log", "x")
    assert "Top secret" not in await victim.ask("log", ref="x")


async def test_no_file_is_named_whose_lines_git_quotes(victim: Repo, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("first line of a secret\n")
    victim.git("config", "blame.ignoreRevsFile", str(outside))
    victim.git("blame", "a.txt", fails=True)
    assert "secret" not in await victim.ask("blame", "a.txt")
    await every_command(victim)
    # Links to where hooks are kept are usual.
    shutil.rmtree(victim.root / ".git/hooks")
    (victim.root / ".git/hooks").symlink_to(tmp_path)
    await every_command(victim)


async def test_undo_runs_none_of_it_either(victim: Repo, program: Path) -> None:
    fsmonitor(victim, program)
    hooks(victim, program)
    object_id = victim.git("rev-parse", "HEAD:a.txt").decode().strip()
    path = str(victim.root / "a.txt")
    wanted = {path: (object_id, 4)}
    assert await read_objects(victim.context.workspace, victim.root, wanted) == {path: b"two\n"}
    assert not ran(program)
