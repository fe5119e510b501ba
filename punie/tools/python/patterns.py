"""Patterns of Python code: code with holes, and what they match.

`$X` stands for one expression or one name, and for the same one wherever it is repeated; `$_` for
any. `...` stands for one expression that does not matter, and among arguments, elements and
statements for any number of them. How code is laid out does not matter, nor the order of keyword
arguments.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_HOLE = re.compile(r"\$(\w+)")
_HOLE_NAME = re.compile(r"__hole_(\w+)__")
_ANY_PARAMETERS = "__any_parameters__"
_HEADER = re.compile(r"(\bdef\s+[\w$]+\s*)\(\s*\.\.\.\s*\)")
_IGNORED = {"ctx", "kind", "type_comment", "type_ignores", "type_params"}
_ANYTHING = "_"

Bindings = Mapping[str, str]
"""What the holes stand for, as code."""


class PatternError(Exception):
    """The pattern is not Python; the message says so in one sentence."""


@dataclass(frozen=True)
class Pattern:
    """An expression, or statements that follow each other; `words` are in all that it matches."""

    parts: tuple[ast.AST, ...]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Match:
    """Where code matches: its first and last line, and what the holes stand for there."""

    line: int
    end_line: int
    bindings: Bindings


def read_pattern(text: str) -> Pattern:
    """Return the pattern that a text describes; raise `PatternError`."""
    code = _HEADER.sub(rf"\1(*{_ANY_PARAMETERS})", text.strip())
    code = _HOLE.sub(r"__hole_\1__", code)
    if code.endswith(":"):
        code += " ..."
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        raise PatternError(f"the pattern is not Python with $X for holes: {message}") from error
    if not body:
        raise PatternError("the pattern is empty")
    parts: list[ast.AST] = list(body)
    if len(parts) == 1 and isinstance(body[0], ast.Expr):
        parts = [body[0].value]
    if all(_is_any(part) or _hole(part) is not None for part in parts):
        raise PatternError("the pattern matches everything; put some code into it")
    return Pattern(tuple(parts), tuple(_words(parts)))


def matches(pattern: Pattern, text: str) -> list[Match]:
    """Return where the pattern matches in a text, by line; raise `SyntaxError` if it is no Python.

    Raises `ValueError` or `RecursionError` for a text that the parser cannot do either.
    """
    tree = ast.parse(text)
    found: list[Match] = []
    for node in ast.walk(tree):
        if len(pattern.parts) == 1:
            held = _match(pattern.parts[0], node, {})
            if held is not None and isinstance(node, (ast.expr, ast.stmt)):
                found.append(_found(node, node, held))
            continue
        for _, value in ast.iter_fields(node):
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                found += _runs(pattern.parts, value)
    return sorted(found, key=lambda match: (match.line, match.end_line))


def _runs(parts: Sequence[ast.AST], body: Sequence[ast.stmt]) -> Iterator[Match]:
    """Yield where statements of a body match those of a pattern, the shortest run at each start."""
    least = max(len(_needed(parts)), 1)
    for start in range(len(body) - least + 1):
        most = start + least if least == len(parts) else len(body)
        for end in range(start + least, most + 1):
            held = _sequence(parts, body[start:end], {})
            if held is not None:
                yield _found(body[start], body[end - 1], held)
                break


def _found(first: ast.expr | ast.stmt, last: ast.expr | ast.stmt, held: Bindings) -> Match:
    line = min([first.lineno, *(each.lineno for each in getattr(first, "decorator_list", ()))])
    shown = {name: value for name, value in held.items() if name != _ANYTHING}
    return Match(line, last.end_lineno or last.lineno, shown)


def _match(pattern: Any, node: Any, held: Bindings) -> Bindings | None:
    """Return the bindings with those of this match, None if it does not match."""
    if isinstance(pattern, str) and isinstance(node, str):
        name = _HOLE_NAME.fullmatch(pattern)
        return _bound(name[1], node, held) if name else held if pattern == node else None
    if isinstance(pattern, list) and isinstance(node, list):
        return _sequence(pattern, node, held)
    if not isinstance(pattern, ast.AST) or not isinstance(node, ast.AST):
        return held if type(pattern) is type(node) and pattern == node else None
    name_of_hole = _hole(pattern)
    if name_of_hole is not None and isinstance(node, (ast.expr, ast.stmt)):
        return _bound(name_of_hole, ast.unparse(node), held)
    if _is_any(pattern) and isinstance(node, ast.expr):
        return held
    if isinstance(pattern, ast.arguments) and isinstance(node, ast.arguments):
        if pattern.vararg is not None and pattern.vararg.arg == _ANY_PARAMETERS:
            return held
    elif isinstance(pattern, ast.Call) and isinstance(node, ast.Call):
        return _call(pattern, node, held)
    return _fields(pattern, node, held)


def _fields(pattern: ast.AST, node: ast.AST, held: Bindings) -> Bindings | None:
    # Whether a function is asynchronous seldom matters to who looks for one.
    both_functions = isinstance(pattern, ast.FunctionDef) and isinstance(node, ast.AsyncFunctionDef)
    if type(pattern) is not type(node) and not both_functions:
        return None
    for name, value in ast.iter_fields(pattern):
        if name in _IGNORED or _is_left_open(pattern, name, value):
            continue
        result = _match(value, getattr(node, name), held)
        if result is None:
            return None
        held = result
    return held


def _is_left_open(pattern: ast.AST, name: str, value: Any) -> bool:
    """Tell whether a definition's decorators, bases or returned type were not spoken of."""
    if isinstance(pattern, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return name in ("decorator_list", "returns") and not value
    if isinstance(pattern, ast.ClassDef):
        return name in ("decorator_list", "bases", "keywords") and not value
    return False


def _call(pattern: ast.Call, node: ast.Call, held: Bindings) -> Bindings | None:
    result = _match(pattern.func, node.func, held)
    if result is None:
        return None
    is_open = any(map(_is_any, pattern.args))
    result = _sequence(pattern.args, node.args, result)
    free = list(node.keywords)
    for wanted in pattern.keywords:
        if result is None:
            return None
        for keyword in free:
            further = _fields(wanted, keyword, result)
            if further is not None:
                result = further
                free.remove(keyword)
                break
        else:
            return None
    return result if is_open or not free else None


def _sequence(parts: Sequence[Any], nodes: Sequence[Any], held: Bindings) -> Bindings | None:
    """Match one after the other; `...` may be any number of them."""
    for index, part in enumerate(parts):
        if _is_any(part):
            rest = parts[index + 1 :]
            for skipped in range(index, len(nodes) - len(_needed(rest)) + 1):
                result = _sequence(rest, nodes[skipped:], held)
                if result is not None:
                    return result
            return None
        if index >= len(nodes):
            return None
        result = _match(part, nodes[index], held)
        if result is None:
            return None
        held = result
    return held if len(parts) == len(nodes) else None


def _needed(parts: Sequence[Any]) -> list[Any]:
    return [part for part in parts if not _is_any(part)]


def _bound(name: str, code: str, held: Bindings) -> Bindings | None:
    if name == _ANYTHING:
        return held
    if name in held:
        return held if held[name] == code else None
    return {**held, name: code}


def _hole(pattern: Any) -> str | None:
    """Return the name of the hole that a pattern is, None if it is none."""
    if isinstance(pattern, ast.Expr):
        return _hole(pattern.value)
    if isinstance(pattern, ast.Name) and (match := _HOLE_NAME.fullmatch(pattern.id)):
        return match[1]
    return None


def _is_any(pattern: Any) -> bool:
    if isinstance(pattern, ast.Expr):
        return _is_any(pattern.value)
    return isinstance(pattern, ast.Constant) and pattern.value is ...


def _words(parts: Sequence[ast.AST]) -> Iterator[str]:
    """Yield names that stand in all code that matches, the longest first."""
    found: set[str] = set()
    for part in parts:
        for node in ast.walk(part):
            for name in ("id", "attr", "name", "arg", "module"):
                value = getattr(node, name, None)
                if isinstance(value, str):
                    found.update(value.split("."))
    yield from sorted(
        (word for word in found if not word.startswith("__hole_") and word != _ANY_PARAMETERS),
        key=lambda word: (-len(word), word),
    )
