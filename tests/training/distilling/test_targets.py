"""A teacher is asked what it would say, and the answers on disk are the same ones."""

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from punie.models.mlx.chat_format import ChatFormat
from punie.training.data.example import Example, PromptPrefix
from punie.training.distilling import targets as module
from punie.training.distilling.lessons import answered_share, lessons
from punie.training.distilling.shared_vocabulary import SharedVocabulary, shared_vocabulary
from punie.training.distilling.targets import Softening, Teacher, keep_targets
from punie.training.errors import TrainingError
from punie.training.progress import Interrupted
from tests.training.distilling.small_models import loaded, random_model
from tests.training.sample_conversations import SHAPE, conversations


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_model(tmp_path_factory.mktemp("models") / "teacher")


@pytest.fixture(scope="module")
def teacher(folder: Path) -> Teacher:
    chat_format = ChatFormat.load(folder)
    found = [
        lesson
        for messages in conversations(70)
        for lesson in lessons(chat_format, chat_format, example(messages), PromptPrefix())
    ]
    assert answered_share(found) == 1
    shared = shared_vocabulary(folder, folder)
    assert shared == SharedVocabulary(SHAPE.vocab_size)
    return Teacher(loaded(folder), shared, Softening(temperature=1.0, top=5), found)


def example(messages: list[dict[str, Any]]) -> Example:
    return Example.model_validate({"messages": messages})


def test_it_is_asked_at_the_learned_tokens(teacher: Teacher) -> None:
    numbers = [3, 0, 9]
    found = teacher.targets(numbers)
    row = 0
    for number in numbers:
        sequence = teacher.lessons[number].sequence
        logits = teacher.model(mx.array(sequence.ids)[None])[0]
        likely = np.array(mx.softmax(logits, axis=-1))
        for place in np.flatnonzero(sequence.learned[1:]):
            ids = found.ids[row]
            assert set(ids) == set(np.argsort(-likely[place])[:5])
            np.testing.assert_allclose(
                np.exp(found.log_probabilities[row]), likely[place][ids], rtol=1e-3
            )
            row += 1
    assert row == len(found.ids)
    assert found.known.all()


def test_long_conversations_are_read_piece_by_piece(
    teacher: Teacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = teacher.targets(range(4))
    monkeypatch.setattr(module, "_TOKENS_AT_ONCE", 16)
    pieces = teacher.targets(range(4))
    np.testing.assert_allclose(
        np.sort(pieces.log_probabilities), np.sort(whole.log_probabilities), atol=1e-4
    )


def test_kept_answers_are_the_given_ones(teacher: Teacher, tmp_path: Path) -> None:
    kept = keep_targets(teacher, tmp_path / "kept", "key")
    for numbers in ([0], [5, 2, 69]):
        now, then = teacher.targets(numbers), kept.targets(numbers)
        np.testing.assert_allclose(
            np.sort(then.log_probabilities), np.sort(now.log_probabilities), atol=1e-5
        )
        assert (then.known == now.known).all()
    assert keep_targets(teacher, tmp_path / "kept", "key").targets([1]).known.all()
    with pytest.raises(TrainingError, match="another teacher"):
        keep_targets(teacher, tmp_path / "kept", "other key")
    (tmp_path / "else").mkdir()
    with pytest.raises(TrainingError, match="no teacher's targets"):
        keep_targets(teacher, tmp_path / "else", "key")


def test_a_stopped_teacher_goes_on_where_it_was(teacher: Teacher, tmp_path: Path) -> None:
    keep_targets(teacher, tmp_path / "whole", "key")
    asked = 0

    def second_time() -> bool:
        nonlocal asked
        asked += 1
        return asked > 1

    with pytest.raises(Interrupted, match="32 of 70"):
        keep_targets(teacher, tmp_path / "kept", "key", stopped=second_time)
    assert not (tmp_path / "kept").exists()
    # As if it was killed in the middle of the next write.
    with (tmp_path / ".kept.unfinished" / "ids.bin").open("ab") as torn:
        torn.write(b"half")
    told: list[float] = []
    keep_targets(teacher, tmp_path / "kept", "key", lambda progress: told.append(progress.done))
    assert told == [64, 70]
    for file in (tmp_path / "whole").iterdir():
        assert file.read_bytes() == (tmp_path / "kept" / file.name).read_bytes()


def test_a_full_disk_is_told_in_a_sentence(
    teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(TrainingError, match="disk is full"):
        keep_targets(teacher, tmp_path / "kept", "key")
    assert not (tmp_path / "kept").exists()


def test_a_turn_that_the_teacher_would_write_otherwise_has_no_target(
    folder: Path, tmp_path: Path, teacher: Teacher
) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    template = other / "chat_template.jinja"
    text = template.read_text()
    assert text.count("<parameter=") == 1
    template.write_text(text.replace("<parameter=", "<argument="))
    plain = ChatFormat.load(folder)
    (found,) = lessons(plain, ChatFormat.load(other), example(conversations(1)[0]), PromptPrefix())
    # The call has none, the answer after it has.
    asked = replace(teacher, lessons=[found]).targets([0])
    first = asked.known.argmax()
    assert not asked.known[:first].any()
    assert asked.known[first:].all()
    learned = [i for i, m in zip(found.sequence.ids, found.sequence.learned, strict=True) if m]
    assert plain.vocabulary.text(learned[first:]).startswith("`")


def test_tokens_that_differ_are_known(folder: Path, tmp_path: Path) -> None:
    sibling = tmp_path / "sibling"
    shutil.copytree(folder, sibling)
    tokenizer = json.loads((sibling / "tokenizer.json").read_text())
    place = next(t for t in tokenizer["added_tokens"] if t["content"] == "<think>")
    place["content"] = "<thought>"
    (sibling / "tokenizer.json").write_text(json.dumps(tokenizer))
    config = json.loads((sibling / "config.json").read_text())
    (sibling / "config.json").write_text(json.dumps(config | {"vocab_size": 512}))
    assert shared_vocabulary(sibling, folder) == SharedVocabulary(SHAPE.vocab_size, (place["id"],))
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:-1]
    (sibling / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert shared_vocabulary(sibling, folder) is None
