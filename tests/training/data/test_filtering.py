import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from punie.models.catalog import bundled_directory
from punie.training.data.dataset import open_dataset
from punie.training.data.example import Example
from punie.training.data.filtering import (
    DROPPED,
    FilterOptions,
    counted,
    dropped_of,
    filter_dataset,
)
from punie.training.data.likeness import likeness, shingles_of, words_of
from punie.training.errors import TrainingError
from punie.training.progress import Interrupted
from tests import assets
from tests.training.data.samples import answer, direct, example, reading, user, write
from tests.training.sample_conversations import called

GOOD = reading("What is in good.py?", "good.py", checked="files")


def dropped(folder: Path, bad: Example, **options: Any) -> list[tuple[str, str]]:
    """Filter one good example and a bad one; return why examples were left out."""
    source = write(folder / "data", train=[GOOD, bad])
    model = bundled_directory() if "longest" in options else None
    found = filter_dataset(FilterOptions(**options), source.folder, folder / "out", model)
    assert next(found.examples("train")).id == GOOD.id
    assert found.manifest.parts["train"].examples == 2 - len(dropped_of(found))
    assert all(
        (each.part, each.line, each.id) == ("train", 2, bad.id) for each in dropped_of(found)
    )
    return [(each.reason, each.detail) for each in dropped_of(found)]


@pytest.mark.parametrize(
    ("bad", "options", "reason"),
    [
        (direct("Где он?"), {"most_non_latin": 0.05}, ("language", "16% of its letters are not")),
        (direct("列出?"), {"scripts": {"CJK": 0}}, ("language", "of its letters are CJK")),
        (direct("Why?"), {"least_messages": 3}, ("few messages", "2 messages")),
        (direct("Why?", "So."), {"least_characters": 4}, ("short answer", "3 characters")),
        (
            example(user("a"), called("read_file", path="b")),
            {"answered": True},
            ("unanswered", "the last message is of the assistant"),
        ),
        (reading("a", executed=False), {"executed": True}, ("unexecuted", "no tool returned")),
        (reading("a"), {"checked": True}, ("unchecked", "nobody looked")),
        (direct("a"), {"tasks": ("read",)}, ("task", "direct")),
        (direct("a", "```python\nprint 1\n```"), {"python": "3.11"}, ("python", "Simple statem")),
        (
            direct("a", "```python\nclass A(object): ...\n```"),
            {"python": "3.11"},
            ("old idiom", "Class `A` inherits from `object`"),
        ),
        (direct("a", "b " * 500), {"longest": 300}, ("too long", " tokens")),
        (GOOD, {}, ("duplicate", "of train.jsonl line 1")),
    ],
)
def test_left_out_for(
    tmp_path: Path, bad: Example, options: dict[str, Any], reason: tuple[str, str]
) -> None:
    (found,) = dropped(tmp_path, bad, **options)
    assert found[0] == reason[0]
    assert reason[1] in found[1]


@pytest.mark.parametrize(
    ("fine", "options"),
    [
        (direct("Что?"), {}),
        (direct("Что?"), {"most_non_latin": 0.5, "scripts": {"CJK": 0.1}}),
        (direct("a", executed=False), {"executed": True}),
        (direct("a", "```python\nclass A(object): ...\n```"), {"python": "3.11", "idioms": ()}),
        (GOOD, {"duplicates": "keep"}),
        (GOOD.model_copy(update={"context": 2}), {}),
        (reading("What is in good.py?", "good.py", "1:x = 2"), {}),
    ],
)
def test_kept(tmp_path: Path, fine: Example, options: dict[str, Any]) -> None:
    assert not dropped(tmp_path, fine, **options)


texts = st.lists(st.sampled_from("abcd"), min_size=4, max_size=8).map(" ".join)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=12), st.sampled_from([0.5, 0.8]))
def test_what_is_kept_has_no_near_duplicates(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]], near: float
) -> None:
    folder = tmp_path_factory.mktemp("filter")
    given_examples = [direct(*pair) for pair in pairs]
    source = write(folder / "data", train=given_examples[::2], valid=given_examples)
    options = FilterOptions(duplicates="near", near=near)
    try:
        found = filter_dataset(options, source.folder, folder / "out")
    except TrainingError:
        return
    kept = [each for part in found.manifest.parts for each in found.examples(part)]
    sets = [shingles_of(words_of(each)) for each in kept]
    alike = [a for a, one in enumerate(sets) for b in sets[:a] if likeness(one, b) >= near]
    # Signatures may miss a pair now and then, but never what is the same.
    assert len(alike) <= 1
    assert max(Counter(each.id for each in kept).values()) == 1
    assert len(kept) + len(dropped_of(found)) == len(given_examples[::2]) + len(given_examples)
    again = filter_dataset(options, source.folder, folder / "again")
    assert again.hash == found.hash


def test_the_dataset_says_how_it_was_made_and_what_was_left_out(tmp_path: Path) -> None:
    source = write(tmp_path / "data", train=[GOOD, GOOD, direct("a")], valid=[GOOD, direct("b")])
    options = FilterOptions(least_messages=2)
    found = filter_dataset(options, source.folder, tmp_path / "out")
    manifest = open_dataset(tmp_path / "out").manifest
    assert (manifest.made_by, manifest.parents) == ("filter", {"dataset": source.hash})
    assert FilterOptions.model_validate(manifest.recipe) == options
    assert counted(dropped_of(found)) == {"duplicate": 2}
    assert [(each.part, each.line) for each in dropped_of(found)] == [("train", 2), ("valid", 1)]


def test_nothing_left_of_a_part_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "data", train=[GOOD], valid=[direct("b"), GOOD])
    with pytest.raises(TrainingError, match=r"Nothing .* of part valid of .* because of 'duplic"):
        filter_dataset(FilterOptions(least_messages=3), source.folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tokens_need_a_model(tmp_path: Path) -> None:
    source = write(tmp_path / "data", train=[GOOD])
    with pytest.raises(TrainingError, match="name the model that is to learn"):
        filter_dataset(FilterOptions(longest=3), source.folder, tmp_path / "out")
    with pytest.raises(TrainingError, match="dropped"):
        dropped_of(source)


@assets.needs_assets
def test_what_the_model_cannot_render_as_it_asks_for_it(tmp_path: Path) -> None:
    melted = direct("Why?", "\nBecause.")
    source = write(tmp_path / "data", train=[GOOD, melted])
    model = tmp_path / "model"
    shutil.copytree(assets.TOKENIZER.parent, model)
    (model / "chat_template.jinja").write_text(assets.template(assets.TEMPLATES[0]))
    found = filter_dataset(FilterOptions(), source.folder, tmp_path / "out", model)
    (left_out,) = dropped_of(found)
    assert (left_out.line, left_out.reason) == (2, "not rendered")


def test_what_an_earlier_try_left_is_no_hindrance(tmp_path: Path) -> None:
    source = write(tmp_path / "data", train=[GOOD])
    unfinished = tmp_path / ".out.unfinished"
    unfinished.mkdir()
    (unfinished / "train.jsonl").write_text("half of a li")
    found = filter_dataset(FilterOptions(), source.folder, tmp_path / "out")
    assert list(found.examples("train")) == [GOOD]
    assert not unfinished.exists()


def test_a_broken_list_is_named(tmp_path: Path) -> None:
    source = write(tmp_path / "data", train=[GOOD])
    (source.folder / DROPPED).write_text("{}\n")
    with pytest.raises(TrainingError, match=r"dropped\.jsonl, line 1 does not tell"):
        dropped_of(source)


def test_stops_when_asked(tmp_path: Path) -> None:
    source = write(tmp_path / "data", train=[answered(number) for number in range(600)])
    with pytest.raises(Interrupted):
        filter_dataset(FilterOptions(), source.folder, tmp_path / "out", stopped=lambda: True)
    assert not (tmp_path / "out").exists()


def answered(number: int) -> Example:
    return example(user(f"{number}?"), answer("Yes."))


@pytest.mark.parametrize(
    "options", [{"python": "2.7"}, {"scripts": {"KLINGON": 0}}, {"most_non_latin": 2}]
)
def test_wrong_options(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FilterOptions.model_validate(options)
