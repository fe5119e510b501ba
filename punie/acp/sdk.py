"""Imports the SDK's models in a third of the time.

The SDK asks pydantic to read the docstrings under its attributes, 1,500 of them, from its own
source: they would be descriptions in a JSON schema, which nobody here makes of them. Reading them
takes longer than building the models, and the answer to `initialize` would wait for it. Most of the
280 models are never used in a process, so each is built when it is used first.
"""

import sys
from typing import Any

import pydantic


def import_schema() -> None:
    """Import `acp.schema` without descriptions and validators, unless it is there already."""
    if "acp.schema" in sys.modules:
        return
    original = pydantic.ConfigDict

    def sparing(**config: Any) -> pydantic.ConfigDict:
        return original(**{**config, "use_attribute_docstrings": False, "defer_build": True})

    pydantic.ConfigDict = sparing  # type: ignore[assignment, misc]
    try:
        import acp.schema  # noqa: F401
    finally:
        pydantic.ConfigDict = original  # type: ignore[misc]
