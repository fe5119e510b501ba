"""Every suite that comes with Punie, by name."""

from collections.abc import Mapping

from punie.evaluation.suite import Suite

_ALL: tuple[Suite, ...] = ()

SUITES: Mapping[str, Suite] = {suite.name: suite for suite in _ALL}
"""In the order in which they are listed."""
