"""What a search that found nothing could have found, told in a few words."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio

from punie.workspace.base import Workspace, WorkspaceError
from punie.workspace.found import SearchOptions

_SECONDS = 3.0
# What means something else in a regular expression and is common in code that is searched for.
_REGEX_SIGNS = re.compile(r"\\[bBdDsSwW]|\.[*+?]|\[[^\]]+\]|[)\]\w][*+?]|\||^\^|\$$")
_IN_ORDER_OF_FINDING = SearchOptions(order=False)


@dataclass(frozen=True)
class _Attempt:
    says: str
    pattern: str
    path: Path
    regex: bool
    glob: str | None
    options: SearchOptions = _IN_ORDER_OF_FINDING


async def nearest(
    workspace: Workspace, pattern: str, path: Path, *, regex: bool, glob: str | None
) -> str:
    """Return where matches would be if one thing about the search were different; "" if nowhere.

    Gives up after a few seconds.
    """
    with anyio.move_on_after(_SECONDS):
        for attempt in _attempts(workspace, pattern, path, regex=regex, glob=glob):
            try:
                found = await workspace.search(
                    attempt.pattern,
                    attempt.path,
                    regex=attempt.regex,
                    limit=1,
                    glob=attempt.glob,
                    options=attempt.options,
                )
            except WorkspaceError:
                continue
            if found.matches:
                match = found.matches[0]
                return f"{attempt.says}, as in {workspace.display(match.path)}:{match.line}"
    return ""


def _attempts(
    workspace: Workspace, pattern: str, path: Path, *, regex: bool, glob: str | None
) -> Iterator[_Attempt]:
    if pattern != pattern.lower():
        options = SearchOptions(order=False, any_case=True)
        yield _Attempt(
            "upper and lower case differ in what is there", pattern, path, regex, glob, options
        )
    if not regex and _REGEX_SIGNS.search(pattern):
        yield _Attempt("regex=true finds some", pattern, path, True, glob)
    if regex and re.escape(pattern) != pattern:
        yield _Attempt("regex=false finds some", pattern, path, False, glob)
    if pattern != pattern.strip():
        yield _Attempt(
            "without the spaces around it there are some", pattern.strip(), path, regex, glob
        )
    if glob is not None:
        yield _Attempt(f"files other than {glob} have some", pattern, path, regex, None)
    root = next(root for root in workspace.roots if path.is_relative_to(root))
    if path != root:
        yield _Attempt("there are some elsewhere", pattern, root, regex, glob)
    options = SearchOptions(order=False, ignored=True)
    yield _Attempt(
        "ignored files have some; give their folder as path", pattern, path, regex, glob, options
    )
