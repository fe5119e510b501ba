"""What a search of files is asked for besides its pattern, and what it finds."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SearchMatch:
    """One line, 1-based, without its end; `matched` is False for a line of context."""

    path: Path
    line: int
    text: str
    matched: bool = True


@dataclass(frozen=True)
class SearchResult:
    """Lines in path and line order; `truncated` when the limit cut the list.

    Files that are likely to hold secrets are left out unless they are what is searched; `secrets`
    counts those that lie directly in the folder searched.
    """

    matches: tuple[SearchMatch, ...]
    truncated: bool = False
    secrets: int = 0


@dataclass(frozen=True)
class SearchOptions:
    """How to search, besides what for.

    `context` is how many lines around each match come with it. `any_case` ignores upper and lower
    case, `ignored` looks into ignored files too. Without `order` the first matches found are taken,
    whichever these are.
    """

    context: int = 0
    any_case: bool = False
    ignored: bool = False
    order: bool = True


DEFAULT_SEARCH = SearchOptions()


@dataclass(frozen=True)
class MatchCounts:
    """Files with matching lines and how many, in path order, cut to the limit.

    `files` and `lines` count all there are; `secrets` is as in `SearchResult`.
    """

    counts: tuple[tuple[Path, int], ...]
    files: int
    lines: int
    secrets: int = 0


@dataclass(frozen=True)
class FoundFiles:
    """Files, those in the fewest folders first and then by path.

    `total` counts all there are. With `more` there are too many for either: these are the folder's
    own and the first ones by path, and `total` is less than there are.
    """

    paths: tuple[Path, ...]
    total: int
    more: bool = False
