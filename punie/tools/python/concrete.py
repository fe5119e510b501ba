"""Concrete syntax trees of code that may be anybody's. Slow to import."""

import libcst

from punie.tools.python.nesting import is_too_deep


class NotPythonError(Exception):
    """The text is no Python, or too deeply nested; the message is what is to be said of it."""


def parse_module(text: str) -> libcst.Module:
    """Return the tree of a module; raise `NotPythonError`."""
    if is_too_deep(text):
        raise NotPythonError("is too deeply nested")
    try:
        return libcst.parse_module(text)
    except libcst.ParserSyntaxError as error:
        raise NotPythonError("is not valid Python") from error
