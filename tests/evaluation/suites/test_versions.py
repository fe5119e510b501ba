"""No item of a version ever changes: a new fingerprint needs a new version."""

from pathlib import Path

import pytest

from punie.evaluation.suites.catalog import SUITES
from punie.evaluation.suites.listed import fingerprint

pytestmark = pytest.mark.anyio

FROZEN = {
    ("discrimination", 1): "ec95262ffe18cbb0",
    ("single-tool", 1): "0b74a92fe6f768dd",
    ("multi-step", 1): "0c68298f4fff93af",
    ("field-access", 1): "ff6e81e6d64faa89",
    ("recovery", 1): "42ce3eccf12e160b",
    ("protocol-search", 1): "118317d3c3bc5eef",
    ("edits", 1): "0af93288fdbb2941",
    ("conversation", 1): "84dc8df782e0e4f1",
    ("safety", 1): "8b64f6947f108193",
}


@pytest.mark.parametrize(("name", "version"), FROZEN)
async def test_a_version_stays_as_it_is(tmp_path: Path, name: str, version: int) -> None:
    suite = SUITES[name]
    assert suite.version == version
    assert len(set(suite.names())) == len(suite.names())
    assert await fingerprint(suite, tmp_path) == FROZEN[name, version]
