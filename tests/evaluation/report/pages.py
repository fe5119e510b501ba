"""Reads a report as a browser without scripts would."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"br", "img", "input", "meta", "link"}


@dataclass(eq=False)
class Node:
    """An element with what is in it, texts and elements, in order."""

    tag: str
    attributes: dict[str, str | None]
    inside: "list[Node | str]" = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(each if isinstance(each, str) else each.text for each in self.inside)

    def all(self, tag: str, **attributes: str) -> "list[Node]":
        """Return all elements below that are of the tag and have the attributes."""
        found = []
        for each in self.inside:
            if isinstance(each, Node):
                named = {name.rstrip("_").replace("_", "-"): v for name, v in attributes.items()}
                if each.tag == tag and named.items() <= each.attributes.items():
                    found.append(each)
                found += each.all(tag, **attributes)
        return found

    def rows(self, caption: str) -> list[list[str]]:
        """Return the texts of a table's cells, without those of the head."""
        (table,) = [
            each for each in self.all("table") if each.all("caption")[0].text.startswith(caption)
        ]
        (body,) = table.all("tbody")
        return [
            [cell.text for cell in row.inside if isinstance(cell, Node)] for row in body.all("tr")
        ]


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Node("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, dict(attrs))
        self.open[-1].inside.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)


def parsed(text: str) -> Node:
    """Return the root of a page; every element must be closed in order."""
    parser = _Parser()
    parser.feed(text)
    parser.close()
    (root,) = parser.open
    return root
