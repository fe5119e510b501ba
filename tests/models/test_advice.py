"""Which models are advised: the page says the same, and they fit where they are advised."""

import json
import re
from pathlib import Path

import pytest

from punie.models.advice import ADVICE, Advice, advice_for
from punie.models.architecture import read_architecture
from punie.models.catalog import USUAL_CONTEXT
from punie.models.hub import is_hub_id
from punie.models.machine import mac_memory
from punie.models.memory import fits, gigabytes
from tests.assets import ASSETS, needs_assets
from tests.models.test_memory import CODER_NEXT

PAGE = Path(__file__).parents[2] / "docs/models.md"
GIB = 1 << 30


def test_the_page_holds_the_table() -> None:
    table = PAGE.read_text().partition("<!-- advice -->\n")[2].partition("<!--")[0]
    assert table == "".join(
        f"| {one.memory // GIB} GB | `{one.id}` | {gigabytes(one.size)} |\n" for one in ADVICE
    )


def test_the_largest_that_fits_comes_first() -> None:
    assert list(ADVICE) == sorted(ADVICE, key=lambda one: (one.memory, one.size))
    assert all(is_hub_id(one.id) for one in ADVICE)
    assert advice_for(4 * GIB) == ()
    assert re.search("Qwen3-Coder-30B.*-4bit", advice_for(32 * GIB)[0].id)
    # A machine shows a little less than it was sold with.
    assert advice_for(int(31.3 * GIB)) == advice_for(32 * GIB)
    assert len(advice_for(512 * GIB)) == 2


def judge(one: Advice, config: dict[str, object]) -> str:
    machine = mac_memory(one.memory, 0, "")
    architecture = read_architecture(config)
    assert architecture is not None
    return fits(architecture, one.size, machine, context=USUAL_CONTEXT).level


@pytest.mark.parametrize("one", [one for one in ADVICE if "Coder-Next" in one.id])
def test_the_hybrids_fit_where_they_are_advised(one: Advice) -> None:
    assert judge(one, CODER_NEXT) == "fits"


@needs_assets
@pytest.mark.parametrize("one", [one for one in ADVICE if "Coder-30B" in one.id])
def test_the_coder_fits_where_it_is_advised(one: Advice) -> None:
    config = json.loads((ASSETS / "qwen3-coder-30b-a3b" / "config.json").read_text())
    assert judge(one, config) == "fits"
