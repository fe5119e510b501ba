"""The matrix in docs/acp.md has every row of the stable protocol, and no gap."""

from collections.abc import Iterator
from typing import Any

import pytest

from punie.acp import matrix
from punie.acp import matrix_rows as rows
from tests.e2e import schema

needs_schema = pytest.mark.skipif(not schema.AVAILABLE, reason=schema.MISSING)


def test_the_page_is_up_to_date() -> None:
    page = matrix.PAGE.read_text(encoding="utf-8")
    assert page == matrix.page_with_matrix(page), "run python -m punie.acp.matrix"


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="markers"):
        matrix.page_with_matrix("# Another page\n")


@pytest.mark.parametrize(
    ("names", "supported"),
    [
        (rows.AGENT_METHODS, matrix.served_methods),
        (rows.CLIENT_METHODS, matrix.called_methods),
        (rows.UPDATES, matrix.sent_updates),
        (rows.AGENT_CAPABILITIES, matrix.agent_capabilities),
        (rows.CLIENT_CAPABILITIES, matrix.used_client_capabilities),
    ],
    ids=["agent methods", "client methods", "updates", "agent", "client"],
)
def test_the_stable_protocol_has_no_gap(names: dict[str, str], supported: Any) -> None:
    found = supported()
    assert set(names) - found == rows.SENSELESS & set(names)
    # What is there beyond is of the draft, or another spelling.
    assert found - set(names) <= {
        "session/fork", "sessionCapabilities.fork", "$/cancelRequest",
    }  # fmt: skip


@needs_schema
def test_every_stable_method_is_a_row() -> None:
    methods: dict[str, set[str]] = {"agent": set(), "client": set(), "protocol": set()}
    for definition in schema.definitions().values():
        if "x-method" in definition:
            methods[definition["x-side"]].add(definition["x-method"])
    assert set(rows.AGENT_METHODS) == methods["agent"] | methods["protocol"]
    assert set(rows.CLIENT_METHODS) == methods["client"] | methods["protocol"]


@needs_schema
def test_every_method_of_the_draft_is_a_row() -> None:
    stable, draft = (
        {method for method, _ in schema.methods(unstable=unstable)} for unstable in (False, True)
    )
    assert set(rows.DRAFT) == draft - stable


@needs_schema
def test_every_update_is_a_row() -> None:
    assert set(rows.UPDATES) == set(schema.update_kinds())


@needs_schema
@pytest.mark.parametrize(
    ("definition", "names"),
    [
        ("AgentCapabilities", rows.AGENT_CAPABILITIES),
        ("ClientCapabilities", rows.CLIENT_CAPABILITIES),
    ],
)
def test_every_capability_is_a_row(definition: str, names: dict[str, str]) -> None:
    assert set(names) == set(capabilities(definition))


def capabilities(definition: str, path: str = "") -> Iterator[str]:
    """Yield the paths of the capabilities below a definition of the schema."""
    for key, member in schema.definitions()[definition].get("properties", {}).items():
        if key == "_meta":
            continue
        here = f"{path}.{key}".lstrip(".")
        branches = [member, *member.get("allOf", []), *member.get("anyOf", [])]
        below = [branch["$ref"].rpartition("/")[2] for branch in branches if "$ref" in branch]
        deeper = [found for name in below for found in capabilities(name, here)]
        yield from deeper or [here]
