"""The report in a real browser: it asks for nothing and runs nothing of a model."""

from collections.abc import Iterator

import pytest

from punie.evaluation.report.writing import write_report
from punie.training.data.example import Message
from tests.evaluation.report.runs import result, run_folder
from tests.server import browser as chromium
from tests.server.browser import Page, running_browser

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason=chromium.MISSING)
HOSTILE = "</pre><script>window.hit=1</script><img src=x onerror='window.hit=1'>"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("report")
    said = (Message(role="assistant", content=HOSTILE),)
    before = [result("a", True), result("b", False)]
    after = [
        result("a", False, messages=said),
        result("b", True, kind="long"),
        result("c", True, suite="writing"),
    ]
    baseline = run_folder(folder / "before", before)
    run = run_folder(folder / "after", after, reference=HOSTILE)
    home = tmp_path_factory.mktemp("browser")
    with running_browser(home) as window:
        yield window.open(write_report(run, baseline).as_uri())


def shown(page: Page) -> list[str]:
    found = page.js(
        "[...document.querySelectorAll('.item:not([hidden]) .name')].map((e) => e.textContent)"
    )
    assert isinstance(found, list)
    return found


def choose(page: Page, name: str, value: str) -> None:
    page.js(
        f"{{ const field = document.querySelector('[name={name}]'); field.value = '{value}';"
        "field.dispatchEvent(new Event('input', {bubbles: true})); }"
    )


def test_nothing_is_loaded_and_nothing_of_a_model_runs(page: Page) -> None:
    assert page.js("window.hit ?? 0") == 0
    assert page.complaints() == []
    assert {address.partition(":")[0] for address in page.requested()} <= {"file", "data"}
    assert sum(address.startswith("file:") for address in page.requested()) == 1
    drawn = "[...document.images].map((e) => e.naturalWidth > 0)"
    assert page.js(drawn) == [True]


def test_items_are_narrowed_down(page: Page) -> None:
    assert shown(page) == ["reading/a", "reading/b", "writing/c"]
    for name, value, left in (
        ("suite", "writing", ["writing/c"]),
        ("kind", "long", ["reading/b"]),
        ("outcome", "failed", ["reading/a"]),
        ("change", "gained", ["reading/b"]),
        ("words", "Wrong File", ["reading/a"]),
    ):
        choose(page, name, value)
        assert shown(page) == left
        assert page.js("document.querySelector('output').value") == f"{len(left)} of 3"
        choose(page, name, "")
    assert len(shown(page)) == 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out(page: Page, scheme: str) -> None:
    """Every colour of texts has the contrast that WCAG asks of small ones on its ground."""
    page.prefer(scheme)
    worst = page.js("""
      (() => {
        const parts = (colour) => colour.match(/[0-9.]+/g).map(Number);
        const light = (colour) => {
          const [r, g, b] = parts(colour).map((p) => p / 255)
            .map((p) => (p <= 0.04045 ? p / 12.92 : ((p + 0.055) / 1.055) ** 2.4));
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const ground = (e) => {
          const colour = getComputedStyle(e).backgroundColor;
          return parts(colour)[3] === 0 ? ground(e.parentElement) : colour;
        };
        return Math.min(...[...document.querySelectorAll('main *, header *')]
          .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
          .map((e) => [light(getComputedStyle(e).color), light(ground(e))])
          .map(([a, b]) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)));
      })()
    """)
    assert worst >= 4.5
