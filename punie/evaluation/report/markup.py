"""HTML that is safe by how it is made: a text is always escaped, only elements are not."""

import html
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

_VOID: Final = frozenset({"br", "img", "input", "meta", "link"})
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class Html:
    """A piece of HTML; made by `element` and `joined`, or of a file of this package."""

    text: str


Content = str | int | Html
Attribute = str | int | bool | None


def element(tag: str, /, *content: Content, **attributes: Attribute) -> Html:
    """Return an element with its content.

    Attributes are named as in HTML, with `_` for `-` and one at the end where Python has the word
    itself (`class_`); True is one without a value, False and None leave it out.
    """
    given = "".join(
        f" {key.rstrip('_').replace('_', '-')}{_value(value)}"
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if tag in _VOID:
        return Html(f"<{tag}{given}>")
    return Html(f"<{tag}{given}>{joined(content).text}</{tag}>")


def joined(content: Iterable[Content]) -> Html:
    """Return texts and pieces of HTML one behind the other."""
    return Html(
        "".join(each.text if isinstance(each, Html) else _escaped(str(each)) for each in content)
    )


def table(
    caption: str,
    head: Iterable[str],
    rows: Iterable[Iterable[Content]],
    *,
    note: str = "",
    words: Collection[int] = (),
) -> Html:
    """Return a table whose first column names the rows; cells of figures stand to the right.

    The columns whose numbers are in `words` hold words, which stand to the left.
    """
    columns = list(head)
    sides = ["words" if at in words else None for at in range(len(columns))]
    names = [
        element("th", name, scope="col", class_=side)
        for name, side in zip(columns, sides, strict=True)
    ]
    lines = []
    for row in rows:
        first, *others = row
        cells = [
            element("td", each, class_=side) for each, side in zip(others, sides[1:], strict=True)
        ]
        lines.append(element("tr", element("th", first, scope="row"), *cells))
    body = [
        element("caption", caption),
        element("thead", element("tr", *names)),
        element("tbody", *lines),
    ]
    # What scrolls sideways must be within reach of the keyboard, and have a name.
    whole = element(
        "div", element("table", *body), class_="wide", tabindex=0, role="region", aria_label=caption
    )
    return joined([whole, element("p", note, class_="hint")]) if note else whole


def _value(value: str | int | bool) -> str:
    return "" if value is True else f'="{_escaped(str(value))}"'


def _escaped(text: str) -> str:
    """Escape a text; what could not be written or seen is replaced by what can."""
    writable = text.encode("utf-8", "replace").decode("utf-8")
    # Unicode has a picture of each control character.
    seen = _UNSEEN.sub(
        lambda found: chr(0x2421 if found[0] == "\x7f" else 0x2400 + ord(found[0])),
        writable.replace("\r\n", "\n"),
    )
    return html.escape(seen, quote=True)
