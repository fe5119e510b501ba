"""Bash's grammar, and how text gets to it unharmed."""

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Language, Tree

_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")


@cache
def _language() -> "Language":
    import tree_sitter
    import tree_sitter_bash

    return tree_sitter.Language(tree_sitter_bash.language())


def parse(source: bytes) -> "Tree":
    """Parse code; nodes have the places of the source, but not its text.

    The grammar's scanner looks characters up in tables for ASCII and crashes the process on others,
    which to the shell are letters like any, so it gets letters of the same length in their place.
    """
    import tree_sitter

    # A parser of its own each time, since sessions read their commands in different threads.
    return tree_sitter.Parser(_language()).parse(_BEYOND_ASCII.sub(b"x", source))
