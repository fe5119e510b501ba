"""What was wrong with code, in sentences with line numbers."""

import builtins
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_monty import MontyRuntimeError, MontySyntaxError

MODULES = (
    "asyncio",
    "base64",
    "binascii",
    "bisect",
    "collections",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "functools",
    "hashlib",
    "itertools",
    "json",
    "math",
    "os",
    "pathlib",
    "posixpath",
    "random",
    "re",
    "sys",
    "time",
    "tomllib",
    "typing",
    "unicodedata",
)
"""What the sandbox can import, each in part."""

_UNSUPPORTED = re.compile(r"The monty syntax parser does not yet support (.*)", re.DOTALL)
# Not only suspected, but sure to fail when the line is reached; the rest shows when it runs.
_CERTAIN = frozenset(
    {
        "call-non-callable",
        "invalid-await",
        "invalid-key",
        "invalid-syntax",
        "missing-argument",
        "not-subscriptable",
        "parameter-already-assigned",
        "too-many-positional-arguments",
        "unknown-argument",
        "unresolved-attribute",
        "unresolved-reference",
        "unsupported-operator",
    }
)
_SCALAR = re.compile(r"found `(?:Literal\[[^|]*\]|LiteralString|str|int|float|bool|bytes)`$")
_MESSAGE_CHARS = 500
_LIMITS = {
    "feed time limit": "the code computed for too long; do less in one run",
    "memory limit": "the code took too much memory; keep less at a time",
    "the worker exceeded its memory": "the code took too much memory; keep less at a time",
    "suspension limit": "the code reached for the outside too often",
    "maximum recursion depth": "the calls in the code go too deep; use a loop",
}


@dataclass(frozen=True)
class Fault:
    """Something wrong in a line, from 1; None is the code as a whole.

    `rule` is the type checker's name for it, or the exception's type. `source` is the line.
    """

    line: int | None
    message: str
    rule: str = ""
    source: str = ""


def typing_faults(report: str) -> tuple[Fault, ...]:
    """Return the faults of a type checker's report, as ty's JSON, that are sure to be faults.

    Code that a checker cannot follow runs all the same: a value of several types, for one.
    """
    found = json.loads(report)
    return tuple(
        Fault(item["location"]["row"], item["message"], item["code"])
        for item in found
        if item["severity"] != "warning" and _is_certain(item["code"], item["message"])
    )


def _is_certain(rule: str, message: str) -> bool:
    if rule == "invalid-argument-type":
        return _SCALAR.search(message) is not None
    if rule == "unresolved-reference":
        # The checker does not know all that is built in.
        return message.split("`")[1] not in dir(builtins)
    if "__future__" in message:
        return False  # The checker reads the stubs before the code.
    # One of a union's types may be right, and `object` is a type that it could not tell.
    vague = " | " in message or "`object`" in message
    return rule in _CERTAIN and (rule == "invalid-syntax" or not vague)


def fault_of(error: "MontyRuntimeError | MontySyntaxError") -> Fault:
    """Return what an exception says that ended the code."""
    frames = [frame for frame in error.traceback() if frame.filename.startswith("<python-input")]
    frame = frames[-1] if frames else None
    kind, _, _ = error.display("type-msg").partition(":")
    message = error.display("msg").removeprefix("Internal error in monty: ")[:_MESSAGE_CHARS]
    for start, plain in _LIMITS.items():
        if message.startswith(start):
            return Fault(frame.line if frame is not None else None, plain, kind)
    unsupported = _UNSUPPORTED.fullmatch(message)
    if unsupported is not None:
        kind, message = "SyntaxError", f"the sandbox has no {unsupported[1]}"
    return Fault(
        frame.line if frame is not None else None,
        f"{kind}: {message}" if message else kind,
        kind,
        (frame.source_line or "").strip() if frame is not None else "",
    )
