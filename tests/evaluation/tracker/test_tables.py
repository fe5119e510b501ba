import re

from hypothesis import given
from hypothesis import strategies as st

from punie.evaluation.tracker.store import Measure
from punie.evaluation.tracker.tables import NOTHING, Table, as_html, as_markdown, as_text
from punie.evaluation.tracker.views import measures_table

CELLS = st.text(max_size=12)
ROWS = st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=5)


@given(ROWS)
def test_a_text_cannot_break_a_table_in_markdown(rows: list[tuple[str, str, str]]) -> None:
    rows = [("a", "b", "c"), *rows]
    table = Table("Caption", ("one", "two", "three"), tuple(rows))
    _, lines = as_markdown(table).split("\n\n", 1)
    bars = [len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in lines.split("\n")]
    assert bars == [4] * (len(rows) + 2)


@given(ROWS)
def test_every_row_is_one_line_of_a_terminal(rows: list[tuple[str, str, str]]) -> None:
    rows = [("a", "b", "c"), *rows]
    table = Table("Caption", ("one", "two", "three"), tuple(rows))
    assert len(as_text(table).split("\n")) == 2 + len(rows)


def test_figures_stand_to_the_right_and_what_is_not_known_is_left_out() -> None:
    rows = (("edits", NOTHING, "1.0%", "first"), ("protocol-search", "", "100.0%", "x"))
    table = Table("Scores", ("suite", "adapter", "rate", "note"), rows, note="Why.")
    assert as_text(table).split("\n") == [
        "Scores",
        "  suite              rate  note",
        "  edits              1.0%  first",
        "  protocol-search  100.0%  x",
    ]
    assert as_markdown(table).split("\n")[2:4] == [
        "| suite | rate | note |",
        "| --- | ---: | --- |",
    ]
    page = as_html(table).text
    assert '<th scope="col" class="words">note</th>' in page
    assert "adapter" not in page
    assert "Why." in page


def test_measures_are_told_in_their_units() -> None:
    found = [
        Measure("protocol-search", "peak_memory", 278_944_059.4, 1e6, 2.5e9, 3),
        Measure("protocol-search", "seconds", 1.52, 0.25, 90.0, 3),
        Measure("protocol-search", "false_positives", 0.5, 0, 1, 3),
    ]
    shown = [row[2:5] for row in measures_table(found).rows]
    assert shown == [
        ("279 MB", "1 MB", "2.5 GB"),
        ("1.52 s", "250 ms", "1 min 30 s"),
        ("0.5", "0", "1"),
    ]
