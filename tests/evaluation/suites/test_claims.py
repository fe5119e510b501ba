"""Which names an answer gives: lists, tables and prose, with what is named only to be left out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.evaluation.suites.claims import claims_of

KNOWN = {"BlobStore", "BlobIndex", "LineReader", "PluginHost", "PluginHook", "DiskStore"}
TEXT = "asyncio BaseProtocol TypedDict"


def names(answer: str) -> set[str]:
    return set(claims_of(answer, KNOWN, TEXT).names)


@pytest.mark.parametrize(
    ("answer", "given"),
    [
        ("BlobStore\nBlobIndex\n", {"BlobStore", "BlobIndex"}),
        ("`BlobStore`, `BlobIndex`", {"BlobStore", "BlobIndex"}),
        ("1. `BlobStore` (harbor/storage.py:7)\n2) **BlobIndex**", {"BlobStore", "BlobIndex"}),
        ("- `BlobStore`: keeps bytes for LineReader\n", {"BlobStore"}),
        ("- harbor/storage.py: `BlobStore`, `BlobIndex`", {"BlobStore", "BlobIndex"}),
        ("- `PluginHost.PluginHook`, line 16", {"PluginHook"}),
        ("- harbor.storage.BlobStore", {"BlobStore"}),
        ("- class BlobStore(Protocol) in `harbor/storage.py`", {"BlobStore"}),
        ("```\nclass BlobStore(Protocol)\n```", {"BlobStore"}),
        ("| Class | File |\n| --- | --- |\n| BlobStore | LineReader |", {"BlobStore"}),
        ("The protocols are `BlobStore` and `BlobIndex`.", {"BlobStore", "BlobIndex"}),
        ("`BlobStore` does, but `LineReader` doesn't.", {"BlobStore"}),
        ("`BlobStore` does, while `LineReader` is unrelated.", {"BlobStore"}),
        ("`BlobStore` (not `LineReader`) does.", {"BlobStore"}),
        ("It is BlobStore, not LineReader.", {"BlobStore"}),
        ("BlobStore extends Protocol, not only by name.", {"BlobStore"}),
        ("LineReader extends another class, not Protocol.", set()),
        ("`LineReader` is not a typing protocol. `BlobStore` is one.", {"BlobStore"}),
        ("- BlobStore\n\nNot protocols:\n- LineReader\n- DiskStore", {"BlobStore"}),
        ("### Direct\n- BlobStore\n\n### Excluded\n- LineReader", {"BlobStore"}),
        ("### Excluded\n- LineReader\n\n### Nested\n- PluginHook", {"PluginHook"}),
        ("These do, without indirect ones:\n- BlobStore", {"BlobStore"}),
        ("The direct ones (not counting tests):\n- BlobStore", {"BlobStore"}),
        ("- BlobStore: protocol\n- LineReader: not a typing protocol", {"BlobStore"}),
        ("- BlobStore: keeps what an index does not hold", {"BlobStore"}),
        ("BlobStore, excluding LineReader.", {"BlobStore"}),
        ("There are two: BlobStore and PluginHook; no others.", {"BlobStore", "PluginHook"}),
        ("1. `BlobStore`\n   - File: a.py\n   - Used by: DiskStore", {"BlobStore"}),
        ("- storage.py\n  - BlobStore\n  - BlobIndex", {"BlobStore", "BlobIndex"}),
        ("- BlobStore\n\nNote that DiskStore derives from BlobStore.", {"BlobStore"}),
        ("```python\nclass BlobStore(t.Protocol[T]):\n    ...\n```", {"BlobStore"}),
        ("No class does.", set()),
        ("BlobStores and blobstore", set()),
    ],
)  # fmt: skip
def test_names_are_given_or_left_out(answer: str, given: set[str]) -> None:
    assert names(answer) == given


def test_what_no_text_holds_is_invented() -> None:
    claims = claims_of("- `BlobStore`\n- `CargoGateway`\n- `BaseProtocol`", KNOWN, TEXT)
    assert claims.names == {"BlobStore"}
    assert claims.invented == {"CargoGateway"}


@given(st.lists(st.sampled_from(sorted(KNOWN)), unique=True, min_size=1), st.integers(0, 3))
def test_a_list_gives_what_is_in_it(due: list[str], style: int) -> None:
    lines = {0: "- `{}`", 1: "* {} – a class", 2: "1. **{}** (`a/b.py`)", 3: "{}"}[style]
    assert names("Here they are:\n\n" + "\n".join(lines.format(n) for n in due)) == set(due)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    assert names(text) <= KNOWN
