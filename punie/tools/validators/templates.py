"""A t-string as tdom reads it: HTML with holes, which may be the names of components.

The rules are those of tdom's own parser: every tag is closed, by the same tag or component, except
void elements and tags that close themselves.
"""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

import libcst as cst

_VOID = frozenset(
    re.findall(r"\w+", "area base br col embed hr img input link meta param source track wbr")
)
_HOLE = re.compile(r"punie-hole-(\d+)")


@dataclass(frozen=True)
class Use:
    """A component in a template: which hole names it, its attributes, whether it has content.

    `attributes` is None when some of them are only known at run time.
    """

    hole: cst.BaseExpression
    attributes: tuple[str, ...] | None


@dataclass
class Template:
    """What a t-string holds: the components used and what is wrong with the tags.

    `scripts` are holes inside of script elements and `handlers` those in attributes such as
    onclick, which both are code and not text.
    """

    uses: list[Use] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    scripts: list[cst.BaseExpression] = field(default_factory=list)
    handlers: list[cst.BaseExpression] = field(default_factory=list)


def read_template(node: cst.TemplatedString) -> Template:
    """Read the tags of a t-string."""
    holes: list[cst.BaseExpression] = []
    parts: list[str] = []
    for part in node.parts:
        if isinstance(part, cst.TemplatedStringText):
            parts.append(part.value.replace("{{", "{").replace("}}", "}"))
        elif isinstance(part, cst.TemplatedStringExpression):
            parts.append(f"punie-hole-{len(holes)}")
            holes.append(part.expression)
    parser = _Parser(holes)
    parser.feed("".join(parts))
    return parser.finish()


class _Parser(HTMLParser):
    def __init__(self, holes: list[cst.BaseExpression]) -> None:
        super().__init__(convert_charrefs=True)
        self._holes = holes
        self._template = Template()
        self._open: list[str] = []

    def finish(self) -> Template:
        unread = self.rawdata
        self.close()
        if unread.startswith("<"):
            self._template.faults.append("a tag or an attribute's quotes are not closed")
        elif self._open:
            self._template.faults.append(f"<{self._shown(self._open[-1])}> is not closed")
        return self._template

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._use(tag, attrs)
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._use(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if not self._open:
            self._template.faults.append(f"</{self._shown(tag)}> closes nothing")
            return
        opened = self._open.pop()
        if self._shown(opened) != self._shown(tag):
            self._template.faults.append(f"</{self._shown(tag)}> closes <{self._shown(opened)}>")

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            self._template.scripts += [self._holes[int(hole)] for hole in _HOLE.findall(data)]

    def _use(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name.startswith("on"):
                holes = _HOLE.findall(value or "")
                self._template.handlers += [self._holes[int(hole)] for hole in holes]
        match = _HOLE.fullmatch(tag)
        if match:
            spread = any(_HOLE.search(name) for name, _ in attrs)
            names = tuple(name.replace("-", "_") for name, _ in attrs)
            use = Use(self._holes[int(match[1])], None if spread else names)
            self._template.uses.append(use)

    def _shown(self, tag: str) -> str:
        match = _HOLE.fullmatch(tag)
        if not match:
            return tag
        return "{" + cst.Module([]).code_for_node(self._holes[int(match[1])]) + "}"
