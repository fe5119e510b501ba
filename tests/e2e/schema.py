"""The newest published JSON schema of the protocol, and what it says of a message.

`tests/e2e/install_schema.sh` fetches it and prints its folder, which PUNIE_ACP_SCHEMA hands on to
here. Without it nothing is checked.
"""

import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

FOLDER = os.environ.get("PUNIE_ACP_SCHEMA", "")
AVAILABLE = bool(FOLDER) and (Path(FOLDER) / "schema.json").is_file()
MISSING = "PUNIE_ACP_SCHEMA names no schema; tests/e2e/install_schema.sh fetches it"

UNSTABLE_METHODS = frozenset({"session/fork"})
"""What Punie speaks of the draft; everything else must be in the stable schema."""

Schema = dict[str, Any]


@cache
def definitions(*, unstable: bool = False) -> Schema:
    """Return the schema's `$defs`, those of the stable part unless told."""
    name = "schema.unstable.json" if unstable else "schema.json"
    content = json.loads((Path(FOLDER) / name).read_text(encoding="utf-8"))
    found = content["$defs"]
    assert isinstance(found, dict)
    return found


@cache
def methods(*, unstable: bool = False) -> dict[tuple[str, str], str]:
    """Return (method, "Request" | "Response" | "Notification") with the name of its definition."""
    return {
        (definition["x-method"], kind): name
        for name, definition in definitions(unstable=unstable).items()
        for kind in ("Request", "Response", "Notification")
        if "x-method" in definition and name.endswith(kind)
    }


@cache
def update_kinds() -> dict[str, int]:
    """Return the kinds of `session/update` with their places in the schema."""
    branches = definitions()["SessionUpdate"]["oneOf"]
    return {
        branch["properties"]["sessionUpdate"]["const"]: place
        for place, branch in enumerate(branches)
    }


def faults(method: str, kind: str, value: Any) -> list[str]:
    """Return what the schema finds wrong with the params or the result of a message."""
    unstable = method in UNSTABLE_METHODS
    name = methods(unstable=unstable).get((method, kind))
    if name is None:
        return [f"the schema has no {kind.lower()} {method}"]
    found = _violations(f"#/$defs/{name}", unstable, value)
    if found:
        return found
    if method == "session/update":
        # Straight to the one kind: the schema would try all of them.
        update = value["update"]
        place = update_kinds()[update["sessionUpdate"]]
        found = _violations(f"#/$defs/SessionUpdate/oneOf/{place}", unstable, update)
        branch = definitions()["SessionUpdate"]["oneOf"][place]
        return found or list(_strangers(branch, update, update["sessionUpdate"]))
    return list(_strangers({"$ref": f"#/$defs/{name}"}, value, method))


def error_faults(error: Any) -> list[str]:
    """Return what the schema finds wrong with an error answer."""
    return _violations("#/$defs/Error", False, error)


def _violations(reference: str, unstable: bool, value: Any) -> list[str]:
    errors = _validator(reference, unstable).iter_errors(value)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in errors]


@cache
def _validator(reference: str, unstable: bool) -> Draft202012Validator:
    defs = definitions(unstable=unstable)
    if reference == "#/$defs/SessionNotification":
        kinds = {"properties": {"sessionUpdate": {"enum": list(update_kinds())}}}
        defs = {**defs, "SessionUpdate": {"required": ["sessionUpdate"], **kinds}}
    return Draft202012Validator({"$defs": defs, "$ref": reference})


def _strangers(schema: Schema, value: Any, path: str) -> Iterator[str]:
    """Yield the keys that the schema does not know: it lets them pass, the protocol does not."""
    if isinstance(value, list):
        items = [branch["items"] for branch in _branches(schema) if "items" in branch]
        for item in value:
            yield from _strangers({"anyOf": items}, item, path)
    if not isinstance(value, dict):
        return
    known: dict[str, list[Schema]] = {}
    for branch in _branches(schema):
        if branch.get("additionalProperties") or "not" in branch:
            continue
        for key, member in branch.get("properties", {}).items():
            known.setdefault(key, []).append(member)
    if not known:
        return
    for key, member in value.items():
        if key == "_meta":
            continue
        if key not in known:
            yield f"{path}.{key}: the protocol has no such key"
            continue
        yield from _strangers({"anyOf": known[key]}, member, f"{path}.{key}")


def _branches(schema: Schema) -> Iterator[Schema]:
    yield schema
    if "$ref" in schema:
        yield from _branches(definitions(unstable=True)[schema["$ref"].rpartition("/")[2]])
    for combination in ("allOf", "anyOf", "oneOf"):
        for branch in schema.get(combination, ()):
            yield from _branches(branch)
