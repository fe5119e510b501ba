from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.training.data.dataset import Manifest, write_dataset
from punie.training.data.example import Example, PromptPrefix
from punie.training.data.merging import MergeOptions, merge_datasets
from punie.training.data.validation import validate_dataset
from punie.training.errors import TrainingError
from tests.training.data.samples import PREFIX, READ_FILE, direct, reading, sample_examples, write

OTHER = PromptPrefix(instructions="Be long.", tools=(READ_FILE,))


def merged(folder: Path, *datasets: Path, **options: Any) -> dict[str, list[Example]]:
    found = merge_datasets(MergeOptions(**options), datasets, folder / "out")
    return {part: list(found.examples(part)) for part in found.manifest.parts}


def two(folder: Path) -> tuple[Path, Path]:
    shared = reading("What is in a.py?")
    one = write(folder / "one", train=[shared, direct("Why?")], valid=[direct("Who?")])
    moved = [each.model_copy(update={"prefix": OTHER.id}) for each in (shared, direct("When?"))]
    tested = direct("Where?").model_copy(update={"prefix": OTHER.id})
    other = write(folder / "two", OTHER, train=[*moved, moved[1]], test=[tested])
    return one.folder, other.folder


def test_parts_by_name_and_prefixes_by_content(tmp_path: Path) -> None:
    one, other = two(tmp_path)
    found = merged(tmp_path, one, other)
    asked = {part: [each.query for each in examples] for part, examples in found.items()}
    # The same said under other instructions is something else.
    assert asked == {
        "train": ["What is in a.py?", "Why?", "What is in a.py?", "When?"],
        "valid": ["Who?"],
        "test": ["Where?"],
    }
    assert [each.prefix for each in found["train"]] == [PREFIX.id, PREFIX.id, OTHER.id, OTHER.id]


def test_prefixes_that_were_named_in_another_way(tmp_path: Path) -> None:
    manifest = Manifest(made_by="test", prefixes={"mine": PREFIX})
    named = [each.model_copy(update={"prefix": "mine"}) for each in sample_examples(2)]
    source = write_dataset(tmp_path / "source", manifest, {"train": named})
    found = merge_datasets(MergeOptions(), [source.folder], tmp_path / "out")
    assert validate_dataset(found).valid
    assert found.manifest.parents == {"dataset 1": source.hash}


def test_an_example_of_two_parts_stays_in_the_first(tmp_path: Path) -> None:
    one = write(tmp_path / "a", valid=[direct("Why?")], train=[direct("Who?")])
    other = write(tmp_path / "b", train=[direct("Why?"), direct("When?")])
    found = merged(tmp_path, one.folder, other.folder)
    assert [each.query for each in found["train"]] == ["Who?", "When?"]
    assert [each.query for each in found["valid"]] == ["Why?"]
    kept = merge_datasets(
        MergeOptions(duplicates="keep"), [one.folder, other.folder], tmp_path / "kept"
    )
    assert kept.manifest.parts["train"].examples == 3


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=3),
    st.lists(st.sampled_from([0.25, 0.5, 1.0, 1.5, 3.0]), max_size=3),
    st.lists(st.none() | st.integers(1, 8), max_size=3),
    st.integers(0, 2),
)
def test_each_counts_as_often_as_asked_for(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    weights: list[float],
    limits: list[int | None],
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("merge")
    sources = [
        write(folder / f"{n}", train=[direct(f"{n} {i}?") for i in range(size)])
        for n, size in enumerate(sizes)
    ]
    paths = [source.folder for source in sources]
    options = MergeOptions(
        weights=tuple(weights[: len(sizes)]), limits=tuple(limits[: len(sizes)]), seed=seed
    )
    try:
        found = merge_datasets(options, paths, folder / "out")
    except TrainingError:
        assert weights, "of few examples a small share can be none"
        return
    counts = Counter(each.query for each in found.examples("train"))
    for number, size in enumerate(sizes):
        weight = weights[number] if number < len(weights) else 1.0
        limit = limits[number] if number < len(limits) else None
        taken = min(size, limit or size)
        mine = {query: count for query, count in counts.items() if query.startswith(f"{number} ")}
        assert sum(mine.values()) == round(weight * taken)
        assert max(mine.values(), default=0) - min(mine.values(), default=0) <= 1
        assert len(mine) <= taken
    assert merge_datasets(options, paths, folder / "again").hash == found.hash


def test_what_measures_is_not_repeated(tmp_path: Path) -> None:
    source = write(tmp_path / "a", train=[direct("Why?")], valid=[direct("Who?")])
    found = merged(tmp_path, source.folder, weights=(3,))
    assert (len(found["train"]), len(found["valid"])) == (3, 1)


def test_split_and_not_split(tmp_path: Path) -> None:
    one = write(tmp_path / "a", train=[direct("Why?")]).folder
    whole = write(tmp_path / "b", all=[direct("Who?")]).folder
    with pytest.raises(TrainingError, match=r"b is not split and another dataset is"):
        merged(tmp_path, one, whole)
    assert [each.query for each in merged(tmp_path, one, whole, as_one=True)["all"]] == [
        "Why?",
        "Who?",
    ]
    found = merged(tmp_path / "learned", one, whole, unsplit="train")
    assert {name: [each.query for each in part] for name, part in found.items()} == {
        "train": ["Why?", "Who?"]
    }


@pytest.mark.parametrize(
    ("options", "count", "told"),
    [
        ({}, 0, "Name the datasets"),
        ({"weights": (1, 1)}, 1, "more weights than datasets"),
        ({"limits": (1, 1)}, 1, "more limits than datasets"),
        ({}, 1, "nothing to merge"),
    ],
)
def test_refused(tmp_path: Path, options: dict[str, Any], count: int, told: str) -> None:
    source = write(tmp_path / "a", train=[])
    with pytest.raises(TrainingError, match=told):
        merge_datasets(MergeOptions(**options), [source.folder] * count, tmp_path / "out")
    assert not (tmp_path / "out").exists()
