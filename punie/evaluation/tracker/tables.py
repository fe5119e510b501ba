"""Tables of texts, as a terminal, Markdown and a page show them."""

from collections.abc import Sequence
from dataclasses import dataclass

from punie.evaluation.report.markup import Html, element
from punie.evaluation.report.markup import table as html_table

NOTHING = "–"
"""A cell of what is not known."""
_LONG = 40
"""Characters from which on a cell of a page may take several lines."""


@dataclass(frozen=True)
class Table:
    """Texts in rows; the first column names the row, and the note explains the columns."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def as_text(table: Table) -> str:
    """Return a table with aligned columns; columns that hold nothing are left out."""
    kept = _told_columns(table)
    lines = [tuple(table.head[at] for at in kept)]
    lines += [tuple(" ".join(row[at].split()) for at in kept) for row in table.rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(kept))]
    shown = [
        "  ".join(
            cell.ljust(width) if _is_words(table.rows, kept[at]) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([table.caption, *(f"  {line}" for line in shown)])


def as_markdown(table: Table) -> str:
    """Return a table in Markdown, under its caption; columns that hold nothing are left out."""
    kept = _told_columns(table)
    rules = ["---" if _is_words(table.rows, at) else "---:" for at in kept]
    lines = [_row([table.head[at] for at in kept]), _row(rules)]
    lines += [_row([row[at] for at in kept]) for row in table.rows]
    parts = [f"**{_escaped(table.caption)}**", "\n".join(lines)]
    return "\n\n".join([*parts, table.note] if table.note else parts)


def as_html(table: Table) -> Html:
    """Return a table as a page shows it; columns that hold nothing are left out."""
    kept = _told_columns(table)
    rows = [[_wrapped(row[at]) for at in kept] for row in table.rows]
    head = [table.head[at] for at in kept]
    words = {place for place, at in enumerate(kept) if _is_words(table.rows, at)}
    return html_table(table.caption, head, rows, note=table.note, words=words)


def _wrapped(text: str) -> Html | str:
    return element("span", text, class_="long") if len(text) > _LONG else text


def _told_columns(table: Table) -> list[int]:
    return [
        at
        for at in range(len(table.head))
        if any(row[at] not in ("", NOTHING) for row in table.rows)
    ]


def _is_words(rows: Sequence[Sequence[str]], at: int) -> bool:
    """Tell whether a column holds words, which stand to the left, and not figures."""
    return at == 0 or not all(row[at][:1] in "–+-0123456789" for row in rows)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_escaped, cells)) + " |"


def _escaped(text: str) -> str:
    """Return a text that no Markdown reads as more than a text."""
    one_line = " ".join(text.split())
    for mark in "\\`*_[]<>|":
        one_line = one_line.replace(mark, f"\\{mark}")
    return one_line
