"""Java and JavaScript values as BFCL's scorer reads them from the text that a model gives.

In its Java and JavaScript categories every argument is a string that holds a literal of the
language. What follows its rules (`java_type_converter`, `js_type_converter`) keeps their limits: a
literal of another form stays a string, and strings within a Java array keep their quotes. Only
commas within quotes and brackets are not taken for the end of an element here.
"""

import re
from typing import Any

JAVA_TYPES: dict[str, type] = {
    **dict.fromkeys(("byte", "short", "integer", "long"), int),
    **dict.fromkeys(("float", "double"), float),
    **dict.fromkeys(("Array", "ArrayList", "Queue", "Stack"), list),
    **dict.fromkeys(("HashMap", "Hashtable"), dict),
    **dict.fromkeys(("char", "String", "any"), str),
    "Set": set,
    "boolean": bool,
}
JAVASCRIPT_TYPES: dict[str, type] = {
    **dict.fromkeys(("integer", "Bigint"), int),
    **dict.fromkeys(("String", "any"), str),
    "Boolean": bool,
    "array": list,
    "dict": dict,
    "float": float,
}

_WHOLE = re.compile(r"-?\d+")
_LONG = re.compile(r"-?\d+[lL]")
_DOUBLE = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_FLOAT = re.compile(_DOUBLE.pattern + "[fF]")
_DECIMAL = re.compile(r"-?\d+(\.\d+)?")
_BIG = re.compile(r"-?\d+n")
_AS_LIST = re.compile(r"new\s+ArrayList<.*?>\(Arrays\.asList\((.*)\)\)", re.DOTALL)
_FILLED = re.compile(
    r"new\s+(?:ArrayList|HashMap)<.*?>\s*\(\)\s*\{\s*\{?(.*?)\}?\s*\}\s*$", re.DOTALL
)
_EMPTY = re.compile(r"new\s+(?:ArrayList|HashMap)<.*?>\s*\(\)")
_ARRAY = re.compile(r"new\s+\w+\[\]\s*\{(.*)\}", re.DOTALL)
_ADDED = re.compile(r"add\((.+?)\)\s*;?")
_PUT = re.compile(r'put\("(.*?)",\s*(.*?)\)\s*(?:;|$)')
_ROWS = re.compile(r"\[(.*?)\]", re.DOTALL)
_OPENING, _CLOSING = "([{", ")]}"


def java_value(text: str, kind: str, element: str | None = None) -> Any:
    """Return the value of a Java literal of a type; `element` is the type of a list's elements."""
    match kind:
        case "byte" | "short" | "integer":
            return int(text) if _WHOLE.fullmatch(text) else text
        case "long":
            return int(text[:-1]) if _LONG.fullmatch(text) else text
        case "float":
            return float(text[:-1]) if _FLOAT.fullmatch(text) else text
        case "double":
            return float(text) if _DOUBLE.fullmatch(text) else text
        case "boolean":
            return text == "true" if text in ("true", "false") else text
        case "Array":
            found = _ARRAY.search(text)
            return text if found is None else _java_typed(_elements(found[1]), element)
        case "ArrayList":
            return _java_list(text, element)
        case "HashMap":
            return _java_map(text)
        case _:
            return text


def javascript_value(text: str, kind: str, element: str | None = None) -> Any:
    """Return the value of a JavaScript literal of a type, likewise."""
    match kind:
        case "String":
            return _unquoted(text)
        case "integer":
            return int(text) if _WHOLE.fullmatch(text) else text
        case "float":
            return float(text) if _DECIMAL.fullmatch(text) else text
        case "Bigint":
            return int(text[:-1]) if _BIG.fullmatch(text) else text
        case "Boolean":
            return text == "true" if text in ("true", "false") else text
        case "array":
            return _javascript_array(text.strip(), element)
        case "dict":
            return _javascript_object(text.strip())
        case _:
            return text


def _java_typed(elements: list[str], element: str | None) -> list[Any]:
    if element is None:
        return [_java_plain(each) for each in elements]
    return [java_value(each, element) for each in elements]


def _java_list(text: str, element: str | None) -> Any:
    listed = _AS_LIST.search(text)
    filled = None if listed else _FILLED.search(text)
    if listed:
        elements = _elements(listed[1])
    elif filled:
        elements = [each.strip() for each in _ADDED.findall(filled[1])]
    else:
        return [] if _EMPTY.search(text) else text
    if element in ("char", "String"):
        return [each[1:-1] for each in elements]
    return _java_typed(elements, element)


def _java_map(text: str) -> Any:
    filled = _FILLED.search(text)
    if filled:
        return {key: _java_plain(value.strip()) for key, value in _PUT.findall(filled[1])}
    return {} if _EMPTY.search(text) else text


def _java_plain(text: str) -> Any:
    """Return the value of a literal whose type is not known."""
    if _FLOAT.fullmatch(text):
        return float(text[:-1])
    return int(text[:-1]) if _LONG.fullmatch(text) else _plain(text)


def _javascript_array(text: str, element: str | None) -> Any:
    if text.startswith("[") and "]" in text:
        inner = text[1 : text.rindex("]")]
    elif re.fullmatch(r"new\s+Array\(.*\)", text, re.DOTALL):
        inner = text[text.index("(") + 1 : -1]
    else:
        return text
    if inner.lstrip().startswith("["):
        return [[_plain(each) for each in _elements(row)] for row in _ROWS.findall(inner)]
    return [
        _plain(each) if element is None else javascript_value(each, element)
        for each in _elements(inner)
    ]


def _javascript_object(text: str) -> Any:
    if not (text.startswith("{") and text.endswith("}")):
        return text
    found: dict[str, Any] = {}
    for pair in _elements(text[1:-1]):
        key, _, value = pair.partition(":")
        value = value.strip()
        if value.startswith("["):
            read = _javascript_array(value, None)
        elif value.startswith("{"):
            read = _javascript_object(value)
        else:
            read = _plain(value.strip("'\""))
        found[key.strip().strip("'\"")] = read
    return found


def _plain(text: str) -> Any:
    """Return what a literal shows itself to be: a truth, a string, a number, or else a name."""
    if text in ("true", "false"):
        return text == "true"
    if _unquoted(text) != text:
        return _unquoted(text)
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def _unquoted(text: str) -> str:
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if is_quoted else text


def _elements(text: str) -> list[str]:
    """Split at the commas that stand in no quotes and no brackets."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in _OPENING:
            depth += 1
        elif letter in _CLOSING:
            depth -= 1
        if letter == "," and not quote and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    stripped = [part.strip() for part in parts]
    return [part for part in stripped if part]
