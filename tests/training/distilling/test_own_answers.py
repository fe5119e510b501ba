"""A model's own conversations are what it writes, token for token."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from punie.models.catalog import bundled_directory
from punie.models.mlx.chat_format import ChatFormat
from punie.training.data.dataset import Manifest, open_dataset, write_dataset
from punie.training.data.example import Example, PromptPrefix
from punie.training.data.sequences import training_sequences
from punie.training.data.validation import validate_dataset
from punie.training.distilling import own_answers as module
from punie.training.distilling.lessons import runs
from punie.training.distilling.own_answers import OwnAnswersOptions, own_answers
from punie.training.progress import Interrupted
from tests.training.distilling.small_models import loaded, random_model
from tests.training.sample_conversations import conversations, write_data

SHORT = OwnAnswersOptions(tokens=60)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("own") / "data", 3, 1)


@pytest.fixture(scope="module")
def own(data: Path) -> Path:
    return own_answers(SHORT, bundled_directory(), data, data.parent / "answers").folder


def test_each_turn_is_what_the_model_writes(own: Path, data: Path) -> None:
    chat_format = ChatFormat.load(bundled_directory())
    model = loaded(bundled_directory())
    answers = open_dataset(own)
    given = {example.query: example for example in open_dataset(data).examples("train")}
    turns = 0
    for example in answers.examples("train"):
        assert example.source == "teacher"
        source = given[example.query]
        assert example.messages[:-1] == source.messages[: len(example.messages) - 1]
        (sequence,) = training_sequences(chat_format, example, PromptPrefix())
        for start, end in runs(sequence):
            # One look is enough: each token follows from those before it.
            logits = model(mx.array(sequence.ids[:end])[None])[0]
            chosen = np.array(mx.argmax(logits, axis=-1))
            assert chosen[start - 1 : -1].tolist() == sequence.ids[start:end]
            turns += 1
    assert turns >= answers.manifest.parts["train"].examples >= 2


def test_it_is_a_dataset_that_says_where_it_is_from(own: Path, data: Path) -> None:
    manifest = open_dataset(own).manifest
    assert manifest.made_by == "own-answers"
    assert manifest.parents["dataset"] == open_dataset(data).hash
    assert set(manifest.parts) == {"train", "valid"}
    # The sample's own fault is all that is wrong: its calls are of no tool of a prefix.
    faults = validate_dataset(open_dataset(own)).faults
    assert all("none of the prompt prefix's tools" in fault.what for fault in faults)


def test_a_stopped_call_goes_on_where_it_was(
    own: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 2)
    whole = open_dataset(own)
    asked = iter([False, False, True])
    with pytest.raises(Interrupted, match="3 of 4"):
        own_answers(SHORT, bundled_directory(), data, tmp_path / "out", stopped=lambda: next(asked))
    with (tmp_path / ".out.unfinished" / "valid.jsonl").open("ab") as torn:
        torn.write(b'{"messages": ')
    told: list[float] = []
    found = own_answers(
        SHORT, bundled_directory(), data, tmp_path / "out", lambda p: told.append(p.done)
    )
    assert told == [4]
    assert found.manifest == whole.manifest
    assert sorted(file.name for file in found.folder.iterdir()) == sorted(
        file.name for file in whole.folder.iterdir()
    )


def test_an_answer_without_end_is_left_out(data: Path, tmp_path: Path) -> None:
    random = random_model(tmp_path / "random")
    found = own_answers(OwnAnswersOptions(tokens=5), random, data, tmp_path / "out")
    assert [part.examples for part in found.manifest.parts.values()] == [0, 0]


def test_what_is_only_read_stays_as_it_is(tmp_path: Path) -> None:
    def example(messages: list[dict[str, Any]]) -> Example:
        return Example.model_validate({"messages": messages, "context": 2})

    data = write_dataset(
        tmp_path / "data",
        Manifest(made_by="sample"),
        {"all": [example(messages) for messages in conversations(1)]},
    )
    found = own_answers(SHORT, bundled_directory(), data.folder, tmp_path / "out")
    for before, after in zip(data.examples("all"), found.examples("all"), strict=True):
        assert after.context == 2
        assert after.messages[:3] == before.messages[:3]
