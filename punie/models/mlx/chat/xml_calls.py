"""Reading `<function=name>` with its `<parameter=name>` values, as Qwen3-Coder writes calls.

Source: the chat template of Qwen3-Coder. Values are not escaped there, so a value may hold text
that looks like the end of itself. It ends at the first `</parameter>` after which the call goes on
as a call does: with `</function>` and the end of the block, or with a parameter of the tool that
was not given yet. What the value opened itself (an example of a call in a document) does not end
it. Where two ways to read a call fit the tool's schema, the call is refused and says why.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from punie.models.mlx.chat.calls import (
    CUT_OFF,
    HALF_CHARACTER,
    NO_FUNCTION,
    NOT_CLOSED,
    Block,
    Call,
    Fault,
    RefusedError,
    ToolSchemas,
    has_required,
    properties_of,
)
from punie.models.mlx.chat.markup import Markers
from punie.models.mlx.chat.values import DuplicateKeyError, coerce, has_surrogate, is_text, types_of
from punie.models.mlx.chat.xml_values import (
    BLANK,
    CLOSE_FUNCTION,
    HEAD,
    PARAMETER,
    TAG,
    Place,
    TextValue,
    ValueEnd,
)

_TAGS = ("</function>", "<parameter=", "<function=")
_UNESCAPED_QUOTE = re.compile(r'(?<!\\)(?:\\\\)*"')

_NOT_WELL_FORMED = "The tool call is not well formed: expected <parameter=name> or </function>."


def read_xml(text: str, tools: ToolSchemas, markers: Markers, *, closed: bool) -> Block | Fault:
    """Read the functions of a block; `closed` tells that its closing marker follows the text."""
    whole = _Reading(text, tools, markers, closed, split=False)
    found = whole.block()
    if whole.doubtful is None:
        return found
    # An argument opens inside a value: the closer before it may have been left out.
    other = _Reading(text, tools, markers, closed, split=True).block()
    if not (isinstance(other, Block) and _fits(other, tools)):
        return found
    if isinstance(found, Block) and _fits(found, tools):
        return Fault(
            f"It is not clear whether the argument {whole.doubtful!r} ends before the next "
            "<parameter=...>; repeat the call and close each value with </parameter>."
        )
    return other


def _fits(block: Block, tools: ToolSchemas) -> bool:
    return all(has_required(call.arguments, tools.get(call.name)) for call in block.calls)


@dataclass
class _Reading:
    """One way to read a text; `doubtful` is an argument in which another one may have begun."""

    text: str
    tools: ToolSchemas
    markers: Markers
    closed: bool
    split: bool
    doubtful: str | None = None
    loose: bool = False

    def block(self) -> Block | Fault:
        try:
            return self._functions()
        except RefusedError as refusal:
            return refusal.fault

    def _functions(self) -> Block:
        calls: list[Call] = []
        position = 0
        while head := HEAD.match(self.text, position):
            call, position = self._function(self.markers.read(head.group(1)).strip(), head.end())
            calls.append(call)
        rest = self.text[position:]
        if not calls:
            raise RefusedError(NO_FUNCTION if self.closed else CUT_OFF, unfinished=not self.closed)
        if TAG.search(rest):
            raise RefusedError(_NOT_WELL_FORMED, unfinished=True)
        # With words behind the function the block is not as it should be; more may still come.
        return Block(tuple(calls), self.loose or bool(rest.strip()), rest)

    def _function(self, name: str, position: int) -> tuple[Call, int]:
        schema = self.tools.get(name) or {}
        arguments: dict[str, Any] = {}
        while True:
            if close := CLOSE_FUNCTION.match(self.text, position):
                return Call(name, arguments), close.end()
            parameter = PARAMETER.match(self.text, position)
            if parameter is None:
                return Call(name, arguments), self._unclosed_function(position)
            key = self.markers.read(parameter.group(1)).strip()
            if key in arguments:
                raise RefusedError(f"The argument {key!r} is given twice; give it once.")
            value = self._value_end(key, parameter.end(), {*arguments, key}, schema)
            self.loose = self.loose or value.loose
            raw = self.text[parameter.end() : value.end]
            arguments[key] = self._read(key, raw, schema)
            position = value.after

    def _unclosed_function(self, position: int) -> int:
        """Return where a function without its closer ends, if that is clear."""
        following = HEAD.match(self.text, position)
        if following and self.markers.read(following.group(1)).strip() in self.tools:
            return position
        if not BLANK.match(self.text, position):
            rest = self.text[position:].lstrip()
            begun = rest.startswith("<parameter=") or any(tag.startswith(rest) for tag in _TAGS)
            raise RefusedError(CUT_OFF if begun else _NOT_WELL_FORMED, unfinished=begun)
        if not self.closed:
            raise RefusedError(CUT_OFF, unfinished=True)
        self.loose = True
        return len(self.text)

    def _value_end(
        self, key: str, start: int, given: set[str], schema: Mapping[str, Any]
    ) -> ValueEnd:
        known = properties_of(schema)
        if not is_text(types_of(known.get(key), schema)):
            return self._json_value_end(key, start, schema)
        place = Place(
            text=self.text,
            start=start,
            known=known.keys(),
            given=given,
            tools=self.tools.keys(),
            markers=self.markers,
            closed=self.closed,
            split=self.split,
        )
        value = TextValue(place)
        try:
            return value.find()
        finally:
            if value.doubtful:
                self.doubtful = self.doubtful or key

    def _json_value_end(self, key: str, start: int, schema: Mapping[str, Any]) -> ValueEnd:
        """Find the end of a value that is JSON: what is inside its strings does not end it."""
        for tag in TAG.finditer(self.text, start):
            raw = self.text[start : tag.start()]
            is_json = not isinstance(self._read(key, raw, schema), str)
            if not is_json and len(_UNESCAPED_QUOTE.findall(raw)) % 2:
                continue
            if tag.group() == "</parameter>":
                return ValueEnd(tag.start(), tag.end())
            if is_json:
                return ValueEnd(tag.start(), tag.start(), loose=True)
        raise RefusedError(NOT_CLOSED if self.closed else CUT_OFF, unfinished=True)

    def _read(self, key: str, raw: str, schema: Mapping[str, Any]) -> Any:
        # The format puts one line break on either side of a value.
        text = self.markers.read(raw.removeprefix("\n").removesuffix("\n"))
        try:
            value = coerce(text, properties_of(schema).get(key), schema)
        except DuplicateKeyError as error:
            raise RefusedError(f"In the argument {key!r} {error}; give it once.") from None
        if has_surrogate(value):
            raise RefusedError(HALF_CHARACTER)
        return value
