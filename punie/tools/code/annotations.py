"""JSON schemas written as Python types, for the functions that code calls."""

import keyword
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_SIMPLE = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
}
RESERVED = frozenset(
    {*_SIMPLE.values(), "list", "dict", "Any", "Literal", "NotRequired", "TypedDict"}
)
"""Names that types are made of; nothing else may be called so."""

IMPORTS = "from typing import Any, Literal, NotRequired, TypedDict\n"
"""What the types need before them where they are checked."""

_UNUSABLE = re.compile(r"\W+", re.ASCII)


def identifier(text: str, taken: Collection[str], otherwise: str) -> str:
    """Return a name like `text` that Python code can use and that is not taken."""
    plain = _UNUSABLE.sub("_", text)
    if not plain.strip("_"):
        plain = otherwise
    if plain[0].isdigit():
        plain = f"_{plain}"
    if keyword.iskeyword(plain) or plain in RESERVED:
        plain += "_"
    name = plain
    number = 1
    while name in taken:
        number += 1
        name = f"{plain}_{number}"
    return name


@dataclass
class Annotations:
    """Writes types, and collects the TypedDicts that they speak of, by name.

    `taken` are names that no TypedDict may have. Whatever a schema says beyond types is left out,
    so a type accepts at least what its schema does.
    """

    taken: frozenset[str] = frozenset()
    classes: dict[str, str] = field(default_factory=dict)
    _named: dict[str, str] = field(default_factory=dict)

    def of(self, schema: object, hint: str, definitions: Mapping[str, Any] | None = None) -> str:
        """Return the type of a schema's values; `hint` names the TypedDict if it becomes one."""
        if not isinstance(schema, Mapping):
            return "Any"
        definitions = definitions if definitions is not None else schema.get("$defs", {})
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return self._reference(reference, definitions)
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if isinstance(values, list):
            literal = _literal(values)
            if literal is not None:
                return literal
        for key in ("anyOf", "oneOf"):
            branches = schema.get(key)
            if isinstance(branches, list) and branches:
                return _union([self.of(branch, hint, definitions) for branch in branches])
        branches = schema.get("allOf")
        if isinstance(branches, list) and len(branches) == 1 and "type" not in schema:
            return self.of(branches[0], hint, definitions)
        declared = schema.get("type")
        if isinstance(declared, list):
            return _union([self.of({**schema, "type": one}, hint, definitions) for one in declared])
        if declared == "array":
            items = schema.get("items")
            inner = self.of(items, _singular(hint), definitions) if items else "Any"
            return "list" if inner == "Any" else f"list[{inner}]"
        if declared == "object":
            return self._object(schema, hint, definitions)
        return _SIMPLE.get(declared, "Any") if isinstance(declared, str) else "Any"

    def _reference(self, reference: str, definitions: Mapping[str, Any]) -> str:
        if reference in self._named:
            return self._named[reference]
        key = reference.rsplit("/", 1)[-1]
        target = definitions.get(key)
        if not isinstance(target, Mapping) or not target.get("properties"):
            return self.of(target, key, definitions)
        # Named before its fields are, for they may speak of it.
        name = self._named[reference] = self._class_name(key)
        self.classes[name] = ""
        self.classes[name] = self._body(name, target, definitions)
        return name

    def _object(self, schema: Mapping[str, Any], hint: str, definitions: Mapping[str, Any]) -> str:
        if not schema.get("properties"):
            extra = schema.get("additionalProperties")
            inner = self.of(extra, hint, definitions) if isinstance(extra, Mapping) else "Any"
            return "dict" if inner == "Any" else f"dict[str, {inner}]"
        base = self._class_name(schema["title"] if isinstance(schema.get("title"), str) else hint)
        self.classes[base] = ""  # Taken, while the fields are written.
        body = self._body(base, schema, definitions)
        del self.classes[base]
        for name, known in self.classes.items():
            if known.replace(name, base, 1) == body:
                return name
        self.classes[base] = body
        return base

    def _body(self, name: str, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
        required = schema.get("required", ())
        fields: dict[str, str] = {}
        for key, inner in schema["properties"].items():
            written = self.of(inner, key, definitions)
            fields[key] = written if key in required else f"NotRequired[{written}]"
        if all(_is_field(key) for key in fields):
            body = "; ".join(f"{key}: {written}" for key, written in fields.items())
            return f"class {name}(TypedDict): {body}"
        body = ", ".join(f"{key!r}: {written}" for key, written in fields.items())
        return f"{name} = TypedDict({name!r}, {{{body}}})"

    def _class_name(self, hint: str) -> str:
        words = _UNUSABLE.sub("_", hint).split("_")
        camel = "".join(word[:1].upper() + word[1:] for word in words)
        return identifier(camel, {*self.taken, *self.classes}, "Item")


def _is_field(key: str) -> bool:
    # A leading double underscore would be mangled in a class body.
    return (
        key.isascii()
        and key.isidentifier()
        and not keyword.iskeyword(key)
        and not key.startswith("__")
    )


def _literal(values: Sequence[object]) -> str | None:
    """Return a Literal, or None if there is a value that none can hold."""
    if not values or not all(
        value is None or isinstance(value, str | bool | int) for value in values
    ):
        return None
    return f"Literal[{', '.join(dict.fromkeys(map(repr, values)))}]"


def _union(types: Sequence[str]) -> str:
    different = list(dict.fromkeys(types))
    if "Any" in different or not different:
        return "Any"
    # None comes last, as people write it.
    different.sort(key=lambda written: written == "None")
    return " | ".join(different)


def _singular(hint: str) -> str:
    if hint.endswith("ies"):
        return f"{hint[:-3]}y"
    return hint[:-1] if hint.endswith("s") and len(hint) > 1 else hint
