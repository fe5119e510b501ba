"""Applying hunks to a text: exact where they say, elsewhere only where there is one place.

Line numbers may be wrong and white space at line ends may differ; nothing else may. Lines of
context stay as the file has them.
"""

from collections.abc import Callable, Sequence

from punie.tools.near_miss import closest_lines
from punie.tools.patch.model import Hunk, PatchError

_SHOWN_LINES = 12
_SHOWN_CHARS = 160
_NAMED_PLACES = 8

Span = tuple[int, int]


def apply_hunks(text: str, hunks: Sequence[Hunk], shown: str) -> str:
    """Return the text with all hunks applied; raise `PatchError` if one has no single place."""
    lines = text.split("\n")
    ended = lines[-1] == ""
    if ended:
        lines.pop()
    places: list[tuple[Span, Hunk]] = []
    for number, hunk in enumerate(hunks, start=1):
        label = f"hunk {number} of {shown}" if len(hunks) > 1 else f"the hunk of {shown}"
        places.append((_place(lines, hunk, [span for span, _ in places], label), hunk))
    # Of two insertions at one place the first stays first.
    places.sort(key=lambda place: place[0])
    result: list[str] = []
    at = 0
    for (start, end), hunk in places:
        result += lines[at:start]
        at = start
        for line in hunk.lines:
            if line.sign == "+":
                result.append(line.text)
            else:
                if line.sign == " ":
                    result.append(lines[at])
                at += 1
        if end == len(lines):
            ended = _ends_after(hunk, ended=ended or not lines)
    result += lines[at:]
    if not result:
        return ""
    return "\n".join(result) + ("\n" if ended else "")


def _ends_after(hunk: Hunk, *, ended: bool) -> bool:
    """Tell whether the new text ends in a line end, after its last hunk."""
    if hunk.new_end is not None:
        return hunk.new_end
    return True if hunk.old_end is False else ended


def _place(lines: list[str], hunk: Hunk, taken: Sequence[Span], label: str) -> Span:
    old = hunk.old
    if not old:
        return _insertion(lines, hunk, label)
    for simplify in (_as_it_is, str.rstrip):
        starts = [
            start
            for start in _occurrences(lines, old, simplify)
            if not any(start < end and begin < start + len(old) for begin, end in taken)
        ]
        if starts:
            start = _choose(lines, hunk, starts, taken, label)
            return start, start + len(old)
    raise PatchError(_not_there(lines, hunk, label))


def _as_it_is(line: str) -> str:
    return line


def _occurrences(
    lines: Sequence[str], old: Sequence[str], simplify: Callable[[str], str]
) -> list[int]:
    wanted = [simplify(line) for line in old]
    there = [simplify(line) for line in lines]
    # The rarest line is looked for, so that a long file of equal lines costs no square.
    first = wanted[0]
    found: list[int] = []
    at = -1
    while True:
        try:
            at = there.index(first, at + 1)
        except ValueError:
            return found
        if there[at : at + len(wanted)] == wanted:
            found.append(at)


def _choose(
    lines: Sequence[str], hunk: Hunk, starts: list[int], taken: Sequence[Span], label: str
) -> int:
    """Return the place that is meant; raise `PatchError` if it could be several."""
    size = len(hunk.old)
    if hunk.at_end:
        starts = [start for start in starts if start + size == len(lines)] or starts
    if hunk.start is not None and hunk.start - 1 in starts:
        return hunk.start - 1
    if len(starts) == 1:
        return starts[0]
    if hunk.anchors:
        after = _after_anchors(lines, hunk.anchors, label)
        following = [start for start in starts if start >= after]
        if following:
            return following[0]
    # Hunks come in order.
    following = [start for start in starts if start >= max((end for _, end in taken), default=0)]
    if len(following) == 1:
        return following[0]
    named = ", ".join(str(start + 1) for start in starts[:_NAMED_PLACES])
    more = " and more" if len(starts) > _NAMED_PLACES else ""
    raise PatchError(
        f"{label} fits at lines {named}{more}; give it more lines of context, or @@ and a line "
        "that comes before it"
    )


def _after_anchors(lines: Sequence[str], anchors: Sequence[str], label: str) -> int:
    """Return the index after the line that the anchors lead to; raise `PatchError`."""
    at = 0
    for anchor in anchors:
        found = [index for index in range(at, len(lines)) if lines[index].strip() == anchor]
        if not found:
            found = [index for index in range(at, len(lines)) if anchor in lines[index]]
        if not found:
            raise PatchError(f"{label}: there is no line {anchor!r} after @@ in the file")
        at = found[0] + 1
    return at


def _insertion(lines: Sequence[str], hunk: Hunk, label: str) -> Span:
    """Return where lines without any context go."""
    if hunk.start is not None and hunk.start - 1 <= len(lines):
        at = max(hunk.start - 1, 0)
    elif hunk.start is not None:
        raise PatchError(f"{label} begins at line {hunk.start}, but the file has {len(lines)}")
    elif hunk.anchors:
        at = _after_anchors(lines, hunk.anchors, label)
    elif hunk.at_end or not lines:
        at = len(lines)
    else:
        raise PatchError(
            f"{label} only adds lines and does not say where; give it lines of context"
        )
    return at, at


def _not_there(lines: Sequence[str], hunk: Hunk, label: str) -> str:
    rows = [line.sign + line.text[:_SHOWN_CHARS] for line in hunk.lines[:_SHOWN_LINES]]
    more = len(hunk.lines) - len(rows)
    if more:
        rows.append(f"({more} more)")
    closest = closest_lines(lines, hunk.old)
    said = closest if closest is not None else "read the file to see what is"
    return "\n".join([f"{label} does not apply; its old lines are not there:", *rows, said])
