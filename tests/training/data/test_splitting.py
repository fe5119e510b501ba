from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from punie.training.data.dataset import open_dataset
from punie.training.data.leakage import measure_leakage
from punie.training.data.likeness import normalised
from punie.training.data.splitting import SplitOptions, deal_out, split_dataset
from punie.training.errors import TrainingError
from punie.training.progress import Interrupted
from tests.training.data.samples import direct, reading, sample_examples, write

LONG = "The {} of a list is what it holds at that moment, however many names there are for it."


@given(st.lists(st.integers(1, 5), min_size=30, max_size=80), st.integers(0, 99))
def test_parts_are_as_large_as_asked_for(sizes: list[int], seed: int) -> None:
    pieces, start = [], 0
    for size in sizes:
        pieces.append(list(range(start, start + size)))
        start += size
    parts = deal_out(pieces, {"train": 8, "valid": 1, "test": 1}, seed)
    assert set(parts) == set(range(start))
    assert all(len({parts[number] for number in piece}) == 1 for piece in pieces)
    counts = Counter(parts.values())
    assert abs(counts["train"] - 0.8 * start) <= 15
    assert parts == deal_out(pieces, {"train": 8, "valid": 1, "test": 1}, seed)


queries = st.sampled_from(
    ["What is in a.py?", "what is in A.py", "List the folder", "Who calls f?", "Rename f to g"]
)
facts = st.tuples(queries, st.sampled_from(["", "p1", "p2", "p3"]), st.integers(0, 30))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(facts, min_size=8, max_size=25),
    st.sampled_from(["together", "drop"]),
    st.integers(0, 3),
)
def test_parts_never_share_anything(
    tmp_path_factory: pytest.TempPathFactory,
    given_facts: list[tuple[str, str, int]],
    shared: Any,
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("split")
    given_examples = [
        reading(query, f"m{number}.py", f"1:x = {number}", project=project)
        for query, project, number in given_facts
    ]
    source = write(folder / "source", all=given_examples)
    options = SplitOptions(shares={"train": 0.7, "valid": 0.3}, shared=shared, seed=seed)
    try:
        found = split_dataset(options, source.folder, folder / "out")
    except TrainingError:
        assert not (folder / "out").exists()
        return
    assert not measure_leakage(found)
    train, valid = list(found.examples("train")), list(found.examples("valid"))
    assert not {normalised(e.query) for e in train} & {normalised(e.query) for e in valid}
    assert not {e.project for e in train} & {e.project for e in valid} - {""}
    both = Counter(e.id for e in [*train, *valid])
    assert both <= Counter(e.id for e in given_examples)
    if shared == "together":
        assert both == Counter(e.id for e in given_examples)


def test_split_again_is_the_same_and_says_how_it_was_made(tmp_path: Path) -> None:
    source = write(tmp_path / "source", train=sample_examples(60), valid=sample_examples(20, 9))
    options = SplitOptions(shares={"train": 0.8, "valid": 0.1, "test": 0.1}, seed=5)
    one = split_dataset(options, source.folder, tmp_path / "one")
    other = split_dataset(options, source.folder, tmp_path / "other")
    assert one.hash == other.hash
    turned = SplitOptions(shares={"test": 0.1, "valid": 0.1, "train": 0.8}, seed=5)
    assert split_dataset(turned, source.folder, tmp_path / "turned").hash == one.hash
    changed = options.model_copy(update={"seed": 6})
    assert split_dataset(changed, source.folder, tmp_path / "third").hash != one.hash
    manifest = open_dataset(tmp_path / "one").manifest
    assert (manifest.made_by, manifest.seed) == ("split", 5)
    assert manifest.parents == {"dataset": source.hash}
    assert SplitOptions.model_validate(manifest.recipe) == options
    assert sum(part.examples for part in manifest.parts.values()) == 80
    assert all(part.examples >= 4 for part in manifest.parts.values())


def test_near_duplicates_stay_together(tmp_path: Path) -> None:
    alike = [direct(f"What is the value of list number {n}?", LONG.format(n)) for n in "abcdef"]
    source = write(tmp_path / "source", all=[*alike, *sample_examples(30)])
    found = split_dataset(
        SplitOptions(shares={"train": 0.5, "valid": 0.5}, near=0.6), source.folder, tmp_path / "out"
    )
    where = {
        part for part in ("train", "valid") for e in found.examples(part) if e.task == "direct"
    }
    assert len(where) == 1


def test_what_hangs_together_cannot_be_split(tmp_path: Path) -> None:
    same = [reading("Run the tests", f"{n}.py", str(n), project=f"p{n}") for n in range(30)]
    source = write(tmp_path / "source", all=same)
    with pytest.raises(TrainingError, match=r"valid would get 0 examples rather than 2, .* share"):
        split_dataset(SplitOptions(), source.folder, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize("count", [2, 3, 4, 10])
def test_few_examples(tmp_path: Path, count: int) -> None:
    few = [reading(f"Read {n}{n}{n}", f"{n}.py", f"{n} {n + 1} {n + 2}") for n in range(count)]
    source = write(tmp_path / "source", all=few)
    if count < 4:
        with pytest.raises(TrainingError, match="because there are too few"):
            split_dataset(SplitOptions(), source.folder, tmp_path / "out")
        return
    found = split_dataset(SplitOptions(), source.folder, tmp_path / "out").manifest.parts
    sizes = {name: part.examples for name, part in found.items()}
    assert sizes == {"train": count - 2, "valid": 1, "test": 1}


def test_shared_queries_are_left_out_of_later_parts(tmp_path: Path) -> None:
    same = [reading("Run the tests", f"{n}.py", str(n), project=f"p{n}") for n in range(4)]
    own = [reading(f"Read {n}{n}{n}", f"{n}.py", str(n), project=f"p{n}") for n in range(40)]
    source = write(tmp_path / "source", all=[*same, *own])
    options = SplitOptions(shares={"train": 0.5, "valid": 0.5}, shared="drop")
    found = split_dataset(options, source.folder, tmp_path / "out")
    asked = {part: [e.query for e in found.examples(part)] for part in ("train", "valid")}
    assert "Run the tests" in asked["train"]
    assert "Run the tests" not in asked["valid"]


def test_leaks_are_named(tmp_path: Path) -> None:
    shared = reading("What is in a.py?", project="p")
    later = reading("what is in A.py", "b.py", "1:y = 2")
    dataset = write(
        tmp_path / "data",
        train=[direct("Why?"), shared],
        valid=[later, reading("Show it", "c.py", "1:z", project="p")],
        test=[direct("Why?")],
    )
    told = [str(leak) for leak in measure_leakage(dataset)]
    assert told == [
        "valid.jsonl line 1 ('what is in A.py') asks the same as train.jsonl line 2",
        "valid.jsonl line 2 ('Show it') acts on the project 'p' as well as train.jsonl line 2",
        "test.jsonl line 1 ('Why?') asks the same as train.jsonl line 1",
        "test.jsonl line 1 ('Why?') is a near duplicate of train.jsonl line 1",
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"shares": {"train": 1}},
        {"shares": {"train": 1, "all": 1}},
        {"shares": {"train": 1, "../x": 1}},
        {"shares": {"train": 1, "valid": 0}},
        {"near": 0},
        {"unknown": 1},
    ],
)
def test_wrong_options(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SplitOptions.model_validate(options)


def test_nothing_to_split_and_a_stop(tmp_path: Path) -> None:
    source = write(tmp_path / "source", all=[])
    with pytest.raises(TrainingError, match="has no examples to split"):
        split_dataset(SplitOptions(), source.folder, tmp_path / "out")
    source = write(tmp_path / "many", all=sample_examples(600))
    with pytest.raises(Interrupted):
        split_dataset(SplitOptions(), source.folder, tmp_path / "out", stopped=lambda: True)
    assert not (tmp_path / "out").exists()
