import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from punie.workspace.base import OutsideWorkspaceError, WorkspaceError
from punie.workspace.boundary import Boundary, boundary_around, visible_name


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a folder, a file, and links that stay inside, lead out and go in circles."""
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    (project / "src" / "a.py").write_text("x = 1\n")
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "secret.txt").write_text("secret\n")
    (project / "inner").symlink_to("src")
    (project / "out").symlink_to(outside)
    (project / "out_file").symlink_to(outside / "secret.txt")
    (project / "out_new").symlink_to(outside / "not-there-yet")
    (project / "loop").symlink_to("loop")
    (tmp_path / "project-twin").mkdir()
    return project


def test_relative_and_absolute_paths_inside(project: Path) -> None:
    boundary = boundary_around([project])
    assert boundary.locate("src/a.py") == project / "src" / "a.py"
    assert boundary.locate(str(project / "src" / "a.py")) == project / "src" / "a.py"
    assert boundary.locate(".") == project
    assert boundary.locate("src/../src/./a.py") == project / "src" / "a.py"
    assert boundary.locate("not/there/yet.py") == project / "not" / "there" / "yet.py"


def test_a_link_that_stays_inside_becomes_its_target(project: Path) -> None:
    assert boundary_around([project]).locate("inner/a.py") == project / "src" / "a.py"


@pytest.mark.parametrize(
    "path",
    ["..", "../outside/secret.txt", "src/../../outside", "/etc/passwd", "/", "../project-twin/x"],
)
def test_paths_outside_are_refused(project: Path, path: str) -> None:
    with pytest.raises(OutsideWorkspaceError, match="is outside the workspace; use a path inside"):
        boundary_around([project]).locate(path)


@pytest.mark.parametrize(
    "path", ["out", "out/secret.txt", "out/deep/new.txt", "out_file", "out_new", "out_new/x"]
)
def test_links_that_lead_out_are_refused(project: Path, path: str) -> None:
    with pytest.raises(OutsideWorkspaceError, match="through a symbolic link"):
        boundary_around([project]).locate(path)


def test_dots_after_a_link_follow_the_disk_not_the_text(project: Path) -> None:
    # As text this is project/src; on disk it is the folder above the link's target.
    with pytest.raises(OutsideWorkspaceError):
        boundary_around([project]).locate("out/../src")


@pytest.mark.parametrize("path", ["~", "~/x", "~root/.ssh/id_rsa"])
def test_home_folders_are_refused(project: Path, path: str) -> None:
    with pytest.raises(OutsideWorkspaceError, match="home folder"):
        boundary_around([project]).locate(path)


def test_a_name_that_begins_with_a_tilde_can_be_reached(project: Path) -> None:
    assert boundary_around([project]).locate("./~x") == project / "~x"


@pytest.mark.parametrize("path", ["", "  ", "a\0b", "\ud800"])
def test_what_is_no_path_is_refused(project: Path, path: str) -> None:
    with pytest.raises(WorkspaceError, match=r"empty|cannot be the path"):
        boundary_around([project]).locate(path)


def test_a_very_long_path_is_not_echoed_whole(project: Path) -> None:
    with pytest.raises(OutsideWorkspaceError) as caught:
        boundary_around([project]).locate("/" + "x" * 100_000)
    assert len(str(caught.value)) < 500


def test_a_root_behind_a_link_keeps_its_given_name(project: Path, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.symlink_to(project)
    boundary = boundary_around([given])
    assert boundary.locate("src/a.py") == given / "src" / "a.py"
    assert boundary.locate(str(project / "src")) == given / "src"
    assert boundary.display(given / "src" / "a.py") == "src/a.py"


def test_a_second_root_is_inside_and_shown_absolute(project: Path, tmp_path: Path) -> None:
    boundary = boundary_around([project, tmp_path / "project-twin"])
    path = boundary.locate("../project-twin/x.py")
    assert path == tmp_path / "project-twin" / "x.py"
    assert boundary.display(path) == str(path)


def test_verify_notices_a_link_made_after_locate(project: Path, tmp_path: Path) -> None:
    boundary = boundary_around([project])
    path = boundary.locate("new/x.txt")
    assert boundary.verify(path) == path.parent.resolve() / "x.txt"
    (project / "new").symlink_to(tmp_path / "outside")
    with pytest.raises(OutsideWorkspaceError, match=r"new/x\.txt leads outside"):
        boundary.verify(path)


def test_nothing_is_held_through_a_link_made_after_locate(project: Path) -> None:
    boundary = boundary_around([project])
    located = boundary.locate("src/new/file")
    (project / "other").mkdir()
    (project / "src" / "new").symlink_to("../other")
    with (
        pytest.raises(OutsideWorkspaceError, match="became a symbolic link"),
        boundary.hold(located),
    ):
        pass


def test_no_roots_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one root"):
        boundary_around([])


_PARTS = st.sampled_from(
    ["src", "a.py", "inner", "out", "out_file", "out_new", "loop", "new", "..", ".", "", "deep"]
)


@settings(
    deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(parts=st.lists(_PARTS, min_size=1, max_size=8), absolute=st.booleans())
def test_whatever_is_located_lies_inside(project: Path, parts: list[str], absolute: bool) -> None:
    path = "/".join(parts)
    _check_inside(boundary_around([project]), f"{project}/{path}" if absolute else path, project)


@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(path=st.text(st.characters(blacklist_categories=["Cs"]), max_size=40))
def test_any_text_is_located_inside_or_refused(project: Path, path: str) -> None:
    _check_inside(boundary_around([project]), path, project)


def _located(boundary: Boundary, path: str) -> tuple[Path | None, str]:
    try:
        return boundary.locate(path), ""
    except WorkspaceError as refusal:
        return None, str(refusal)


def _check_inside(boundary: Boundary, path: str, project: Path) -> None:
    located, refusal = _located(boundary, path)
    if located is None:
        assert refusal.isprintable()
        refusal.encode()
        # What the system itself finds inside must not be refused.
        if path.strip() and "\0" not in path and not path.startswith("~"):
            # Twice, since a loop of links stops the first at once.
            real = os.path.realpath(os.path.realpath(project / path))
            assert not Path(real).is_relative_to(os.path.realpath(project))
        return
    assert Path(os.path.realpath(located)).is_relative_to(os.path.realpath(project))
    assert located.is_relative_to(project)
    assert boundary.locate(str(located)) == located
    assert boundary.locate("./" + str(located.relative_to(project))) == located


@settings(deadline=None)
@given(name=st.text(st.characters(blacklist_characters="\0")))
def test_visible_names_are_printable_text(name: str) -> None:
    shown = visible_name(name)
    assert shown.isprintable()
    shown.encode()
    assert shown == name or not name.isprintable()
