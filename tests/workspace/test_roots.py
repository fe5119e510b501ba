"""A workspace of several folders: the working directory and additional ones."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from punie.tools.base import ReadLedger, ToolContext
from punie.workspace.base import OutsideWorkspaceError
from punie.workspace.local import LocalWorkspace
from punie.workspace.roots import root_of, widest_first
from tests.tools.conftest import Bench

pytestmark = pytest.mark.anyio


@pytest.fixture
async def tools(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Bench]:
    main, library = tmp_path / "main", tmp_path / "library"
    for root in (main, library):
        root.mkdir()
    (main / "app.py").write_text("import shared\n")
    (library / "shared.py").write_text("SHARED = 1\n")
    workspace = LocalWorkspace([main, library])
    yield Bench(main, ToolContext(workspace, ReadLedger()))
    await workspace.aclose()


async def test_files_of_a_further_root_have_absolute_names(tools: Bench, tmp_path: Path) -> None:
    shared = tmp_path / "library" / "shared.py"
    workspace = tools.context.workspace
    for path in (str(shared), "../library/shared.py"):
        assert workspace.resolve(path) == shared
    assert workspace.display(shared) == str(shared)
    assert await tools.text("read_file", path=str(shared)) == "1:SHARED = 1"
    edit = {"path": str(shared), "edits": [{"old_text": "1", "new_text": "2"}]}
    assert await tools.text("edit_file", **edit) == f"edited {shared}: 1 replacement"
    assert shared.read_text() == "SHARED = 2\n"
    new = str(tmp_path / "library" / "deep" / "new.py")
    assert await tools.text("write_file", path=new, content="x = 1\n") == f"created {new}: 1 line"


async def test_what_is_beside_the_roots_is_outside(tools: Bench, tmp_path: Path) -> None:
    (tmp_path / "library" / "link").symlink_to(tmp_path)
    (tmp_path / "library-of-others").mkdir()
    (tmp_path / "library" / "home").symlink_to(tmp_path / "main")
    workspace = tools.context.workspace
    for path in ("..", "../library/link", str(tmp_path / "library-of-others"), "../library/.."):
        with pytest.raises(OutsideWorkspaceError):
            workspace.resolve(path)
    # A link from one root into the other stays inside.
    assert workspace.resolve("../library/home/app.py") == tmp_path / "main" / "app.py"


async def test_titles_name_a_further_root(tools: Bench, tmp_path: Path) -> None:
    further = str(tmp_path / "library")
    for tool in ("search", "find_files", "find_pattern"):
        assert f" in {further}" in (await tools.present(tool, pattern="print", path=further)).title
        assert " in " not in (await tools.present(tool, pattern="print")).title


async def test_a_search_in_the_workspace_goes_through_all_roots(
    tools: Bench, tmp_path: Path
) -> None:
    shared = tmp_path / "library" / "shared.py"
    found = f"app.py:1:import shared\n{shared}:1:SHARED = 1"
    assert await tools.text("search", pattern="shared") == found
    assert await tools.text("search", pattern="shared", path=str(tmp_path / "main")) == found
    only = await tools.text("search", pattern="shared", path=str(tmp_path / "library"))
    assert only == f"{shared}:1:SHARED = 1"
    assert await tools.text("search", pattern="shared", glob="app*") == "app.py:1:import shared"


async def test_a_search_has_one_limit_for_all_roots(tools: Bench, tmp_path: Path) -> None:
    (tmp_path / "main" / "many").write_text("needle\n" * 49)
    (tmp_path / "library" / "many").write_text("needle\n" * 2)
    text = await tools.text("search", pattern="needle")
    assert text.endswith("(first 50 matches; narrow the search)")
    assert text.count("needle") == 50
    (tmp_path / "library" / "many").write_text("needle\n")
    text = await tools.text("search", pattern="needle")
    assert text.count("needle") == 50
    assert "narrow" not in text


async def test_roots_in_each_other_give_every_match_once(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a").write_text("needle\n")
    for roots in ([tmp_path, tmp_path / "inner"], [tmp_path / "inner", tmp_path]):
        tools = Bench(tmp_path, ToolContext(LocalWorkspace(roots), ReadLedger()))
        assert (await tools.text("search", pattern="needle")).count("needle") == 1


async def test_a_further_root_that_is_gone_spoils_no_search(tools: Bench, tmp_path: Path) -> None:
    (tmp_path / "library" / "shared.py").unlink()
    (tmp_path / "library").rmdir()
    assert await tools.text("search", pattern="shared") == "app.py:1:import shared"
    missing = str(tmp_path / "library")
    assert "there is no" in await tools.text("search", pattern="shared", path=missing)


async def test_the_list_of_the_workspace_names_the_further_roots(
    tools: Bench, tmp_path: Path
) -> None:
    assert await tools.text("list_dir") == f"{tmp_path}/library/\napp.py"
    assert await tools.text("list_dir", path=str(tmp_path / "library")) == "shared.py"


async def test_commands_start_in_the_first_root(tools: Bench) -> None:
    assert await tools.text("run_command", command="ls; ls ../library") == (
        "exit code 0\napp.py\nshared.py"
    )


@pytest.fixture
async def nested(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Bench]:
    """A project with another one in a hidden folder of it, both of them roots."""
    inner = tmp_path / ".packages" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "app.py").write_text("from lib import helper\n\nhelper()\n")
    (inner / "lib.py").write_text("def helper() -> int:\n    return 1\n")
    (inner / "test_lib.py").write_text(
        "from pathlib import Path\n\n\ndef test_here() -> None:\n    assert not Path.cwd()\n"
    )
    workspace = LocalWorkspace([tmp_path, inner])
    yield Bench(tmp_path, ToolContext(workspace, ReadLedger()))
    await workspace.aclose()


@pytest.mark.parametrize("turned", [False, True], ids=["outer first", "inner first"])
@pytest.mark.parametrize("ignored", [False, True], ids=["", "ignored there"])
async def test_files_of_a_root_in_another_one_are_found_once(
    tmp_path: Path, ignored: bool, turned: bool
) -> None:
    (tmp_path / ".ignore").write_text("inner/\n" if ignored else "")
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "lib.py").write_text("needle\n")
    (tmp_path / "app.py").write_text("needle\nneedle\n")
    roots = [inner, tmp_path] if turned else [tmp_path, inner]
    both = Bench(roots[0], ToolContext(LocalWorkspace(roots), ReadLedger()))
    names = {"lib.py" if turned else "inner/lib.py", str(tmp_path / "app.py")}
    found = {name if turned else name.replace(f"{tmp_path}/", "") for name in names}
    for arguments in ({"pattern": "*.py"}, {"pattern": "py"}):
        result = await both.result("find_files", **arguments)
        assert set(result.text.split("\n")) == found
        assert result.presentation.title.endswith(": 2 files")
    result = await both.result("search", pattern="needle", counts=True)
    assert {row.rpartition(":")[0] for row in result.text.split("\n")} == found
    assert result.presentation.title.endswith(": 2 files with 3 matching lines")
    assert (await both.result("search", pattern="needle")).presentation.title.endswith("3 matches")


async def test_a_file_belongs_to_the_innermost_root(nested: Bench) -> None:
    inner = nested.root / ".packages" / "inner"
    assert root_of((nested.root, inner), inner / "lib.py") == inner
    assert root_of((inner, nested.root), inner / "lib.py") == inner
    assert root_of((nested.root, inner), inner.parent) == nested.root
    other = Path("/other")
    assert widest_first([inner, other, nested.root]) == [other, nested.root, inner]
    assert widest_first([inner, other]) == [inner, other]
    with pytest.raises(ValueError, match="is in no root"):
        root_of((inner,), nested.root)
    listed = await nested.text("list_dir")
    assert listed == ".packages/inner/\n.packages/\napp.py"
    assert await nested.text("list_dir", path=".packages") == "inner/"
    direct = LocalWorkspace([nested.root, inner.parent])
    both = Bench(nested.root, ToolContext(direct, ReadLedger()))
    assert await both.text("list_dir") == ".packages/\napp.py"
    ran = await nested.text("run_tests", paths=[".packages/inner/test_lib.py"])
    assert f"PosixPath('{inner}')" in ran
    # What is in it is neither hidden nor found once for each root.
    found = await nested.text("symbols", symbol="helper")
    assert found == ".packages/inner/lib.py:1:def helper() -> int:"
    renamed = await nested.text("rename_symbol", symbol="helper", new_name="aid")
    assert renamed == "renamed to aid: 3 places in 2 files: .packages/inner/lib.py, app.py"
