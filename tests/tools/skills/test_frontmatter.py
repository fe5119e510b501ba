"""The head of a SKILL.md, as people write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.tools.skills.frontmatter import Document, FrontmatterError, read_document


@pytest.mark.parametrize(
    ("head", "fields"),
    [
        (
            "name: pdf\ndescription: Fill PDF forms.",
            {"name": "pdf", "description": "Fill PDF forms."},
        ),
        ("name: \"a: b # c\"\nx: 'it''s'", {"name": "a: b # c", "x": "it's"}),
        ('x: "say \\"hi\\"\\n"', {"x": 'say "hi"\n'}),
        ("description: >-\n  Two\n  lines.\nname: a", {"description": "Two lines.", "name": "a"}),
        ("description: |\n  Two\n  lines.", {"description": "Two\nlines."}),
        ("description: It goes\n  on here.", {"description": "It goes on here."}),
        ("description:\n  Below: it.", {"description": "Below: it."}),
        ("name: a # b\n# whole line\nx: a#b", {"name": "a", "x": "a#b"}),
        ("Name: a", {"name": "a"}),
        (
            "allowed-tools:\n- read\n- search\nname: a",
            {"allowed-tools": "- read - search", "name": "a"},
        ),
        (
            "metadata:\n  author: me\n  version: '1'\nname: a",
            {"metadata": "author: me version: '1'", "name": "a"},
        ),
        ("url: http://x.y/z", {"url": "http://x.y/z"}),
        ("", {}),
        ("name:", {"name": ""}),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_fields(head: str, fields: dict[str, str], newline: str) -> None:
    text = f"\ufeff---\n{head}\n---\n\n# Body\n---\nmore\n".replace("\n", newline)
    assert read_document(text) == Document(fields, "# Body\n---\nmore")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "does not begin with a line of ---"),
        ("# Title\n", "does not begin with a line of ---"),
        ("---\nname: a\n", "has no second line of --- to end its head"),
        ("---\njust words\n---\n", 'has a line 2 that is not "name: value"'),
        ("---\n  name: a\n---\n", "has an indented line 2 that belongs to nothing"),
        ('---\nname: "a\n---\n', 'has a value with no " at its end'),
        ("---\nname:a\n---\n", 'has a line 2 that is not "name: value"'),
    ],
)
def test_faults_are_named(text: str, said: str) -> None:
    with pytest.raises(FrontmatterError) as caught:
        read_document(text)
    assert str(caught.value) == said


@given(st.text("ab:-#'\"|> \n", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        document = read_document(f"---\n{text}\n---\nbody")
    except FrontmatterError as error:
        message = str(error)
        if "\n" in message:
            raise AssertionError(message) from error
    else:
        assert all(name and name == name.lower() for name in document.fields)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), max_size=60))
def test_a_quoted_text_comes_back_as_it_was(text: str) -> None:
    quoted = text.replace("'", "''")
    assert read_document(f"---\nx: '{quoted}'\n---\n").fields == {"x": text}
