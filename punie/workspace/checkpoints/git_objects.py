"""Contents out of git's own store, where they are exactly what the work tree held."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from punie.workspace.base import ProgramRequest, Workspace, WorkspaceError
from punie.workspace.git_environment import git_environment

_SECONDS = 60.0
_OUTPUT_BYTES = 32_000_000
_BATCH_BYTES = 12_000_000
_BATCH = 2_000
# What makes a file in the work tree another one than in the store, without another size for sure.
_FILTERS = ("filter", "ident", "working-tree-encoding")
_NO_FILTER = {"unspecified", "unset"}


async def read_objects(
    workspace: Workspace, top: Path, wanted: Mapping[str, tuple[str, int]]
) -> dict[str, bytes]:
    """Return the contents of files by path; `wanted` has their object and size in the work tree.

    What cannot be had, or may differ from what was in the work tree, is left out.
    """
    git = await workspace.find_program("git", "trusted")
    if git is None or not wanted:
        return {}
    found: dict[str, bytes] = {}
    try:
        for batch in _batches(wanted):
            filtered = await _filtered(workspace, git, top, batch)
            plain = [path for path in batch if path not in filtered]
            shas = list({wanted[path][0]: None for path in plain})
            output = await _run(workspace, git, top, ("cat-file", "--batch"), "\n".join(shas))
            objects = _parse(output)
            for path in plain:
                sha, size = wanted[path]
                data = objects.get(sha)
                # Line ends that git converts change the size.
                if data is not None and len(data) == size:
                    found[path] = data
    except WorkspaceError:
        return found
    return found


def _batches(wanted: Mapping[str, tuple[str, int]]) -> Iterator[list[str]]:
    batch: list[str] = []
    total = 0
    for path, (_, size) in wanted.items():
        if batch and (total + size > _BATCH_BYTES or len(batch) >= _BATCH):
            yield batch
            batch, total = [], 0
        batch.append(path)
        total += size
    if batch:
        yield batch


async def _filtered(workspace: Workspace, git: Path, top: Path, paths: Sequence[str]) -> set[str]:
    names = {str(Path(path).relative_to(top)): path for path in paths}
    output = await _run(
        workspace, git, top, ("check-attr", "-z", "--stdin", *_FILTERS), "\0".join(names)
    )
    words = output.decode("utf-8", "surrogateescape").split("\0")
    return {
        names[name]
        for name, _, value in zip(words[::3], words[1::3], words[2::3], strict=False)
        if value not in _NO_FILTER and name in names
    }


async def _run(
    workspace: Workspace, git: Path, top: Path, arguments: Sequence[str], stdin: str
) -> bytes:
    result = await workspace.run_program(
        ProgramRequest(
            (str(git), "--no-pager", *arguments),
            top,
            _SECONDS,
            stdin=stdin.encode("utf-8", "surrogateescape"),
            output_limit=_OUTPUT_BYTES,
            environment=git_environment(),
            memory_bounded=True,
        )
    )
    if result.exit_code != 0:
        raise WorkspaceError(f"git failed: {result.stderr[:200]}")
    return result.stdout.encode("utf-8", "surrogateescape")


def _parse(output: bytes) -> dict[str, bytes]:
    """Read `<sha> <type> <size>`, the bytes and a line end, again and again."""
    found: dict[str, bytes] = {}
    position = 0
    while position < len(output):
        end = output.index(b"\n", position)
        words = output[position:end].split(b" ")
        position = end + 1
        if len(words) == 3 and words[2].isdigit():
            size = int(words[2])
            if words[1] == b"blob":
                found[words[0].decode("ascii")] = output[position : position + size]
            position += size + 1
    return found
