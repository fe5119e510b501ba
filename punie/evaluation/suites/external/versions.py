"""Versions of suites whose items come from a checkout."""

from typing import Any

from punie.training.hashing import value_hash

_SPAN = 10**8


def checkout_version(rules: int, content: Any) -> int:
    """Return a version that changes with the rules of a suite and with what its checkout holds.

    `rules` counts the changes of how items are asked and judged; it stands before eight digits that
    are made of the content, so that results on different checkouts are not taken for the same.
    """
    return rules * _SPAN + int(value_hash(content), 16) % _SPAN
