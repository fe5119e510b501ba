"""The page of the suites tells of each: how many items, what is checked, and an example of them."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from punie.evaluation.suite import Say
from punie.evaluation.suites.catalog import SUITES
from punie.evaluation.suites.generated import GeneratedSuite
from tests.evaluation.planted.stage import judged_untouched

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs" / "suites.md"


def sections() -> Mapping[str, str]:
    found = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return dict(zip(found[::2], found[1::2], strict=True))


def test_every_suite_has_its_place_in_the_order_of_the_list() -> None:
    assert [each for each in sections() if each != "Versions"] == list(SUITES)


@pytest.mark.parametrize("name", SUITES)
async def test_a_suite_is_told_as_it_is(name: str, tmp_path: Path) -> None:
    suite, told = SUITES[name], sections()[name]
    assert re.search(rf"\b{len(suite.names())}\b", told)
    assert "softly" in told or "strictly" in told or "as in `generated-tiny`" in told
    quoted = " ".join(re.findall(r"^> (.+)$", told, re.MULTILINE))
    example, prompt = re.fullmatch(r"`([^`]+)`: (.+)", quoted).groups()  # type: ignore[union-attr]
    item = await suite.item(example, tmp_path)
    (first, *_) = (action.text for action in item.actions if isinstance(action, Say))
    assert first == prompt
    # The generator's tasks have checks of one kind.
    some = suite.names()[:: len(suite.names()) // 4]
    for each in [example] if isinstance(suite, GeneratedSuite) else some:
        verdict = await judged_untouched(await suite.item(each, tmp_path), tmp_path)
        for check in verdict.checks:
            assert f"`{check}`" in told, check
