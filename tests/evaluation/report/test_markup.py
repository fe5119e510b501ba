from hypothesis import given
from hypothesis import strategies as st

from punie.evaluation.report.markup import Html, element, joined, table
from tests.evaluation.report.pages import parsed

TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("<>&'\"/-=\n"))


@given(TEXTS, TEXTS)
def test_whatever_a_text_holds_it_stays_a_text(said: str, named: str) -> None:
    page = parsed(element("p", said, element("b", said), title=named).text)
    (paragraph,) = page.inside
    assert not isinstance(paragraph, str)
    assert (paragraph.tag, paragraph.attributes) == ("p", {"title": named})
    assert paragraph.text == said * 2
    assert [each.text for each in paragraph.all("b")] == [said]


@given(st.text(st.characters(exclude_categories=[])))
def test_what_could_not_be_written_or_seen_is_replaced(said: str) -> None:
    text = element("pre", said).text
    text.encode("utf-8")
    assert not {*map(chr, range(32)), "\x7f"} & set(text) - {"\n", "\t"}


def test_control_characters_are_seen() -> None:
    assert joined(["a\x1b[31m\0\x7f\r\nb\r\ud800"]).text == "a␛[31m␀␡\nb␍?"


def test_attributes_without_a_value_and_left_out_ones() -> None:
    found = element("input", type="search", hidden=True, name=None, class_="a", aria_label="b")
    assert found == Html('<input type="search" hidden class="a" aria-label="b">')
    assert element("p", hidden=False) == Html("<p></p>")


def test_a_table_names_its_rows_and_columns() -> None:
    page = parsed(table("Sums & more", ["who", "sum"], [["one", 1], ["<two>", "2"]]).text)
    assert page.rows("Sums & more") == [["one", "1"], ["<two>", "2"]]
    assert [each.text for each in page.all("th", scope="row")] == ["one", "<two>"]
    assert [each.text for each in page.all("th", scope="col")] == ["who", "sum"]
