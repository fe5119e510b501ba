"""No item of a version ever changes: a new fingerprint needs a new version."""

from pathlib import Path

import pytest

from punie.evaluation.suites.catalog import SUITES
from punie.evaluation.suites.listed import fingerprint

pytestmark = pytest.mark.anyio

FROZEN = {
    ("discrimination", 2): "5bed7a16be680f0f",
    ("single-tool", 2): "0b74a92fe6f768dd",
    ("multi-step", 2): "0c68298f4fff93af",
    ("field-access", 2): "ff6e81e6d64faa89",
    ("recovery", 2): "42ce3eccf12e160b",
    ("protocol-search", 2): "118317d3c3bc5eef",
    ("edits", 2): "0af93288fdbb2941",
    ("conversation", 2): "84dc8df782e0e4f1",
    ("safety", 2): "5a8edb774828b057",
}


@pytest.mark.parametrize(("name", "version"), FROZEN)
async def test_a_version_stays_as_it_is(tmp_path: Path, name: str, version: int) -> None:
    suite = SUITES[name]
    assert suite.version == version
    assert len(set(suite.names())) == len(suite.names())
    assert await fingerprint(suite, tmp_path) == FROZEN[name, version]
