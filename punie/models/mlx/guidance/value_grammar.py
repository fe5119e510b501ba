"""What the grammar of tool calls lets a model write for one argument.

In an XML call a value whose schema allows strings is raw text, as `values.coerce` reads it; any
other value, and every value of a JSON call, is JSON of its schema.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import llguidance

from punie.models.mlx.chat.values import coerce
from punie.models.mlx.guidance.narrow_schema import narrowed

Schema = Mapping[str, Any]
Check = Callable[[str], str]
"""Returns what is wrong with a Lark grammar; an empty text when nothing is."""

CLOSE_PARAMETER = "</parameter>"

_LAYOUT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""How `values.value_text` and chat templates write JSON."""

_DEPTH = 8
"""References that are followed before a schema counts as circular."""

_PLACE = re.compile(r"^at \d+\(\d+\): (?:failed to compile JSON schema: )?")
_DEFINITIONS = ("$defs", "definitions")
_COMBINING = ("$ref", "anyOf", "oneOf", "allOf")
_TYPES: dict[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}


@dataclass(frozen=True)
class RawText:
    """Any text, up to the parameter's closer."""


@dataclass(frozen=True)
class BoundedText:
    """One of `words`, or a text that a terminal expression of `patterns` matches."""

    words: tuple[str, ...]
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True)
class JsonText:
    """JSON that fits `schema`, which is JSON itself, as llguidance takes it."""

    schema: str


ValueRule = RawText | BoundedText | JsonText


@dataclass(frozen=True)
class Value:
    """The rule for one value, and what of its schema the rule leaves out."""

    rule: ValueRule
    problem: str | None = None


def literal(text: str) -> str:
    """Return a Lark literal that matches exactly `text`."""
    return json.dumps(text, ensure_ascii=False)


def grammar_error(error: str) -> str:
    """Return what llguidance says, without the place in a grammar that nobody sees."""
    return _PLACE.sub("", error.strip().splitlines()[0]).strip()


def xml_value(schema: Any, root: Schema, check: Check | None) -> Value:
    """Return the rule for a value in an XML call.

    With `check`, what llguidance refuses gives way to something wider; without, it is trusted.
    """
    branches = expand(schema, root)
    types = {name for branch in branches for name in branch_types(branch)}
    if any(not branch_types(branch) for branch in branches):
        return Value(RawText())
    if "string" in types:
        return _text_value(schema, root, branches, check)
    return json_value(schema, root, check)


def json_value(schema: Any, root: Schema, check: Check | None) -> Value:
    """Return the rule for a value that is written as JSON; `check` as for `xml_value`."""
    content = dict(schema) if isinstance(schema, Mapping) else {}
    if '"$ref"' in json.dumps(content):
        for place in _DEFINITIONS:
            if isinstance(shared := root.get(place), Mapping):
                content[place] = {**shared, **content.get(place, {})}
    types = sorted({name for branch in expand(schema, root) for name in branch_types(branch)})
    problem = None
    for candidate in (
        {**narrowed(content), "x-guidance": _LAYOUT},
        {**narrowed(content), "x-guidance": {**_LAYOUT, "lenient": True}},
        {**narrowed({"type": types} if types else {}), "x-guidance": _LAYOUT},
    ):
        text = json.dumps(candidate, ensure_ascii=False)
        error = check(f"start: %json {text}") if check else ""
        if not error:
            return Value(JsonText(text), problem)
        problem = problem or grammar_error(error)
    return Value(JsonText(json.dumps({**narrowed({}), "x-guidance": _LAYOUT})), problem)


def expand(schema: Any, root: Schema, depth: int = _DEPTH) -> list[dict[str, Any]]:
    """Return the alternatives of a schema, without `$ref`, `anyOf`, `oneOf` and `allOf`.

    A value fits the schema when it fits one of them, but for keywords that only exclude.
    """
    if not isinstance(schema, Mapping) or depth == 0:
        return [{}]
    result = [{key: value for key, value in schema.items() if key not in _COMBINING}]
    if isinstance(reference := schema.get("$ref"), str):
        result = _each(result, expand(_resolve(reference, root), root, depth - 1))
    for keyword in ("anyOf", "oneOf"):
        if options := schema.get(keyword):
            found = [item for option in options for item in expand(option, root, depth - 1)]
            result = _each(result, found)
    for member in schema.get("allOf") or ():
        result = _each(result, expand(member, root, depth - 1))
    return result


def branch_types(branch: Schema) -> tuple[str, ...]:
    """Return the JSON types that a schema without alternatives names; none when it is open."""
    declared = branch.get("type")
    if isinstance(declared, str):
        return (declared,)
    if isinstance(declared, Sequence):
        return tuple(map(str, declared))
    return tuple(_TYPES[type(value)] for value in _listed(branch) if type(value) in _TYPES)


def _text_value(
    schema: Any, root: Schema, branches: list[dict[str, Any]], check: Check | None
) -> Value:
    words: list[str] = []
    patterns: list[str] = []
    problem = None
    for branch in branches:
        types = branch_types(branch)
        if "null" in types and (not _is_listed(branch) or None in _listed(branch)):
            words.append("null")
        if "string" not in types:
            continue
        if _is_listed(branch):
            words += [
                written
                for word in _listed(branch)
                if isinstance(word, str)
                for written in (word, json.dumps(word, ensure_ascii=False))
                if coerce(written, schema, root) == word
            ]
            continue
        pattern, left_out = _pattern(branch, check)
        problem = problem or left_out
        if pattern is None:
            return Value(RawText(), problem)
        patterns.append(pattern)
    if any(CLOSE_PARAMETER in word for word in words) or not (words or patterns):
        return Value(RawText(), "it lists a value that an XML call cannot bound")
    return Value(BoundedText(tuple(dict.fromkeys(words)), tuple(patterns)), problem)


def _pattern(branch: Schema, check: Check | None) -> tuple[str | None, str | None]:
    """Return a terminal expression for the bounds of a string, and what it leaves out."""
    least, most, pattern = (branch.get(key) for key in ("minLength", "maxLength", "pattern"))
    parts = []
    if least or most is not None:
        parts.append(f"/(?s:.{{{least or 0},{'' if most is None else most}}})/")
    problem = None
    if isinstance(pattern, str):
        part = _search(pattern)
        if part is not None and not (check and check(f"start: A\nA: {part}")):
            parts.append(part)
        else:
            problem = f"the pattern {pattern!r} is not one that a grammar can follow"
    if not parts:
        return None, problem
    # Such a value cannot hold the closer, so that its end needs no look at what follows.
    expression = " & ".join([*parts, f"~/(?s:.*){_in_regex(CLOSE_PARAMETER)}(?s:.*)/"])
    if check and (error := check(f"start: A\nA: /(?s:.*)/ & {expression}")):
        return None, grammar_error(error)
    return f"(/(?s:.*)/ & {expression})", problem


def _search(pattern: str) -> str | None:
    """Return a regular expression for texts in which `pattern` is found; None if there is none.

    Anchors are understood at the ends only.
    """
    starts = pattern.startswith("^")
    ends = pattern.endswith("$") and not pattern.endswith("\\$")
    inner = pattern[starts : len(pattern) - ends]
    if (starts or ends) and "|" in inner:
        return None  # An anchor belongs to one side of the bar only.
    plain = inner.replace("\\\\", "").replace("\\^", "").replace("\\$", "").replace("[^", "")
    if "^" in plain or "$" in plain or "(?" in plain.replace("(?:", ""):
        return None
    before, after = ("" if starts else "(?s:.*)"), ("" if ends else "(?s:.*)")
    return f"/{before}({llguidance.regex_to_lark(inner, 'dw')}){after}/"


def _in_regex(text: str) -> str:
    return text.replace("/", "\\/")


def _is_listed(branch: Schema) -> bool:
    return "enum" in branch or "const" in branch


def _listed(branch: Schema) -> list[Any]:
    if "const" in branch:
        return [branch["const"]]
    return list(branch.get("enum") or ())


def _each(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [_merge(one, other) for one in left for other in right]


def _merge(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    merged = {**one, **other}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        merged["required"] = list(dict.fromkeys([*one["required"], *other["required"]]))
    return merged


def _resolve(reference: str, root: Schema) -> Any:
    target: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        if not isinstance(target, Mapping):
            return None
        target = target.get(step.replace("~1", "/").replace("~0", "~"))
    return target if reference.startswith("#") else None
