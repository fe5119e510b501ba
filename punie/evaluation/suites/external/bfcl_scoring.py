"""Whether calls are right, by the rules of the Berkeley Function Calling Leaderboard's own scorer.

The rules are those of its `ast_checker`: each argument has a list of values that are right, where
"" means that it may be left out; strings are compared without case, spaces and the marks
`,./-_*^`; a value of another type than the function says is right only if a name of a variable is
due. Sources: https://gorilla.cs.berkeley.edu/blogs/8_berkeley_function_calling_leaderboard.html
and `bfcl_eval/eval_checker/ast_eval/ast_checker.py` in its repository.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from punie.evaluation.suites.external.bfcl_literals import (
    JAVA_TYPES,
    JAVASCRIPT_TYPES,
    java_value,
    javascript_value,
)
from punie.training.data.example import Function

CodeLanguage = Literal["python", "java", "javascript"]
Described = Mapping[str, Any]
"""A function as BFCL describes it: its name and the schema of its parameters."""

LEFT_OUT = ""
"""Among the right values of an argument: it may be left out."""

_PYTHON_TYPES: dict[str, type] = {
    "string": str,
    "integer": int,
    "float": float,
    "number": float,
    "boolean": bool,
    "array": list,
    "tuple": list,
    "dict": dict,
    "object": dict,
    "any": str,
}
_TYPES: Mapping[CodeLanguage, Mapping[str, type]] = {
    "python": _PYTHON_TYPES,
    "java": JAVA_TYPES,
    "javascript": JAVASCRIPT_TYPES,
}
_READERS: Mapping[CodeLanguage, Callable[[str, str, str | None], Any]] = {
    "java": java_value,
    "javascript": javascript_value,
}
_LISTS: Mapping[CodeLanguage, frozenset[str]] = {
    "python": frozenset({"array", "tuple"}),
    "java": frozenset({"Array", "ArrayList"}),
    "javascript": frozenset({"array"}),
}
_MARKS = re.compile(r"[ ,./\-_*^]")


def fault_of_calls(
    functions: Sequence[Described],
    due: Sequence[Mapping[str, Any]],
    calls: Sequence[Function],
    language: CodeLanguage,
) -> str:
    """Return what is wrong with all calls of an answer, "" for nothing.

    `due` has one entry for each call, of the function's name with the right values of each
    argument. The order of calls does not matter: each entry takes the first call that fits it.
    """
    if len(calls) != len(due):
        return f"{len(due)} calls are due and {len(calls)} were made"
    left = list(calls)
    for entry in due:
        name, values = next(iter(entry.items()))
        described = next((each for each in functions if each["name"] == name), None)
        if described is None:
            # A few entries name their one function otherwise; the description counts.
            if len(functions) != 1:
                return f"{name} is due and not among the functions"
            described = functions[0]
        faults = [fault_of_call(described, values, call, language) for call in left]
        if "" not in faults:
            return faults[0] if len(due) == 1 else f"no call is right for {name}: {faults[0]}"
        left.pop(faults.index(""))
    return ""


def fault_of_call(
    described: Described, due: Mapping[str, Any], call: Function, language: CodeLanguage
) -> str:
    """Return what is wrong with one call, "" for nothing."""
    if call.name != called_name(described["name"]):
        return f"{call.name} was called in place of {described['name']}"
    parameters = described.get("parameters", {})
    properties = parameters.get("properties", {})
    for name in parameters.get("required", ()):
        if name not in call.arguments:
            return f"{name} is missing"
    for name, value in call.arguments.items():
        if name not in properties or name not in due:
            return f"{name} is not to be given"
        if not _is_right(value, properties[name], due[name], language):
            return f"{name} is {value!r}, and one of {due[name]!r} is due"
    for name, right in due.items():
        if name not in call.arguments and LEFT_OUT not in right:
            return f"{name} is missing"
    return ""


def called_name(name: str) -> str:
    """Return the name under which a function is offered: tools have no dots in their names."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)


def _is_right(
    value: Any, schema: Mapping[str, Any], right: Sequence[Any], language: CodeLanguage
) -> bool:
    kind = str(schema.get("type", "any"))
    types = _TYPES[language]
    expected = types.get(kind, str)
    element = schema.get("items", {}).get("type") if kind in _LISTS[language] else None
    inner = None if element is None else types.get(element, str)
    reader = _READERS.get(language)
    if reader is not None:
        if not isinstance(value, str):
            return False
        value = reader(value, kind, element)
    elif expected is float and type(value) is int:
        value = float(value)
    due = _type_due(right)
    if type(value) is not expected:
        return type(value) is due and value in right
    if isinstance(value, list) and inner is not None and not _elements_fit(value, right, inner):
        return False
    # Right values of another type are names of variables, which are compared as they are.
    return _is_among(value, right, inner) if due in (None, expected) else value in right


def _is_among(value: Any, right: Sequence[Any], inner: type | None) -> bool:
    """Tell whether a value of the type that the function says is one of the right ones."""
    match value:
        case dict():
            return _dict_is_right(value, right)
        case list() if inner is dict:
            return _dicts_are_right(value, right)
        case list():
            return _plain_all(value) in [_plain_all(each) for each in right]
        case str():
            return _plain(value) in [_plain(each) for each in right if isinstance(each, str)]
        case _:
            return value in right


def _type_due(right: Sequence[Any]) -> type | None:
    """Return the type of the first right value; None if there is only that of leaving it out."""
    return next((type(each) for each in right if each != LEFT_OUT), None)


def _elements_fit(value: Sequence[Any], right: Sequence[Any], inner: type) -> bool:
    """Tell whether the elements have the types of those of some right value."""
    return any(
        not isinstance(each, list)
        or all(type(element) in (inner, _type_due(each)) for element in value)
        for each in right
    )


def _dict_is_right(value: Mapping[str, Any], right: Sequence[Any]) -> bool:
    return any(isinstance(each, Mapping) and _keys_are_right(value, each) for each in right)


def _keys_are_right(value: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    given = all(
        key in right and _plain(each) in _plain_all(right[key]) for key, each in value.items()
    )
    return given and all(key in value or LEFT_OUT in _plain_all(right[key]) for key in right)


def _dicts_are_right(value: Sequence[Any], right: Sequence[Any]) -> bool:
    """Tell whether a list of objects is one of the right lists, in the same order."""
    lists = [each for each in right if isinstance(each, list)]
    if LEFT_OUT in right:
        lists.append([])
    return any(
        len(value) == len(each)
        and all(
            isinstance(one, Mapping) and _dict_is_right(one, [other])
            for one, other in zip(value, each, strict=True)
        )
        for each in lists
    )


def _plain(value: Any) -> Any:
    """Return a string as it is compared; anything else as it is."""
    if not isinstance(value, str):
        return value
    return _MARKS.sub("", value).lower().replace("'", '"')


def _plain_all(values: Any) -> list[Any]:
    """Return right values as they are compared; a bare string counts letter by letter, as there."""
    return [_plain(each) for each in (values if isinstance(values, list | str) else [values])]
