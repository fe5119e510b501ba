"""Suites of others, opened from a checkout that the user has. Nothing is ever downloaded."""

from collections.abc import Callable, Mapping
from pathlib import Path

from punie.evaluation.errors import EvaluationError
from punie.evaluation.suite import Suite
from punie.evaluation.suites.external.aider_polyglot import AiderPolyglot
from punie.evaluation.suites.external.bfcl import Bfcl
from punie.evaluation.suites.external.exercism import Exercism

_MAKERS: Mapping[str, Callable[[Path], Suite]] = {
    "aider-polyglot": AiderPolyglot,
    "bfcl": Bfcl,
    "exercism": Exercism,
}

EXTERNAL: Mapping[str, str] = {
    "aider-polyglot": "Aider-AI/polyglot-benchmark",
    "bfcl": "ShishirPatil/gorilla",
    "exercism": "exercism/python",
}
"""Names of the suites, with the GitHub repository that each needs a checkout of."""


def open_suite(name: str, checkout: Path) -> Suite:
    """Return a suite on a checkout.

    Raises:
        EvaluationError: there is no such suite, or the folder is not what it needs.
    """
    make = _MAKERS.get(name)
    if make is None:
        known = ", ".join(EXTERNAL)
        raise EvaluationError(f"No suite {name!r} takes a checkout; those that do are {known}.")
    if not checkout.is_dir():
        raise EvaluationError(
            f"{checkout} is not a folder; the suite {name} needs a checkout of {EXTERNAL[name]}."
        )
    suite = make(checkout.resolve())
    suite.names()
    return suite
