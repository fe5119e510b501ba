"""A model that is made from nothing learns its teacher's logits too."""

import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from punie.models.mlx.chat_format import ChatFormat
from punie.models.provenance import read_provenance
from punie.training.data.dataset import open_dataset
from punie.training.distilling.teaching import TaughtBy, Teaching, read_lessons
from punie.training.errors import TrainingError
from punie.training.pretraining.batches import encoded, make_batch
from punie.training.pretraining.network import (
    answer_loss,
    causal_mask,
    initial_parameters,
    taught_loss,
)
from punie.training.pretraining.run import PretrainOptions, pretrain
from punie.training.progress import Interrupted
from punie.training.provenance import model_hash
from tests.training.distilling.small_models import divergence, loaded, log_softmax, opinionated
from tests.training.pretraining.test_run import SMALL
from tests.training.sample_conversations import SHAPE, write_data

pytestmark = pytest.mark.usefixtures("uncompiled")

OPTIONS = PretrainOptions.model_validate(
    SMALL | {"steps": 8, "warm_up": 2, "validation_steps": 100}
)
LONGER = OPTIONS.model_copy(update={"steps": 24, "warm_up": 3})
PURE = Teaching(weight=1.0, temperature=1.0, top=SHAPE.vocab_size)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taught")
    write_data(folder / "data")
    opinionated(folder / "teacher", seed=9)
    return folder


@pytest.fixture(scope="module")
def taught(place: Path) -> Path:
    return made(place, "taught", TaughtBy(place / "teacher", PURE))


def made(
    place: Path,
    name: str,
    by: TaughtBy | None,
    options: PretrainOptions = OPTIONS,
    **more: Any,
) -> Path:
    if by is not None:
        options = options.model_copy(update={"teaching": by.teaching})
        more |= {"teacher": by.teacher, "targets": by.targets}
    return pretrain(options, place / "data", place / name, tokenizer=place / "teacher", **more)


def test_it_comes_closer_to_its_teacher(place: Path) -> None:
    alone = made(place, "alone", None, LONGER)
    pupil = made(place, "pupil", TaughtBy(place / "teacher", PURE), LONGER)

    def distance(student: Path) -> float:
        return divergence(place / "teacher", student, place / "data")

    assert distance(pupil) < 0.9 * distance(alone)
    provenance = read_provenance(pupil)
    assert provenance is not None
    assert provenance.parents["teacher"] == model_hash(place / "teacher")
    assert provenance.settings["teaching"] == PURE.model_dump()


def test_it_goes_on_bit_for_bit_and_from_kept_targets_alike(place: Path, taught: Path) -> None:
    asked = iter([False] * 6 + [True])
    by = TaughtBy(place / "teacher", PURE)
    with pytest.raises(Interrupted, match="after 5 of 8"):
        made(place, "again", by, stopped=lambda: next(asked))
    again = made(place, "again", by)
    weights = "model.safetensors"
    assert (again / weights).read_bytes() == (taught / weights).read_bytes()
    kept = made(place, "kept", TaughtBy(place / "teacher", PURE, place / "targets"))
    assert (place / "targets" / "targets.json").is_file()
    before: Any = mx.load(str(taught / weights))
    after: Any = mx.load(str(kept / weights))
    # What is asked side by side differs in the last bits only.
    for name, value in before.items():
        assert float(mx.abs(value - after[name]).max()) < 1e-2, name
    once_more = made(place, "once more", TaughtBy(place / "teacher", PURE, place / "targets"))
    assert (once_more / weights).read_bytes() == (kept / weights).read_bytes()
    other = PURE.model_copy(update={"temperature": 2.0})
    with pytest.raises(TrainingError, match="another teacher"):
        made(place, "other", TaughtBy(place / "teacher", other, place / "targets"))


def test_a_teacher_with_other_tokens_is_refused(place: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(place / "teacher", other)
    text = (other / "tokenizer.json").read_text()
    (other / "tokenizer.json").write_text(text.replace('"<think>"', '"<thought>"'))
    # A control token more or less is no hindrance.
    assert TaughtBy(other, PURE).vocabulary(place / "teacher").others
    merged = text.replace('"pre_tokenizer": {', '"pre_tokenizer": {"more": 1,', 1)
    assert merged != text
    (other / "tokenizer.json").write_text(merged)
    with pytest.raises(TrainingError, match="has other tokens than the student"):
        made(place, "refused", TaughtBy(other, PURE))


def test_reading_for_a_teacher_can_be_stopped_and_needs_the_part(place: Path) -> None:
    teacher, data = place / "teacher", open_dataset(place / "data")
    chat_format = ChatFormat.load(teacher)
    with pytest.raises(Interrupted, match="reading the examples"):
        read_lessons(chat_format, teacher, data, "train", 2048, stopped=lambda: True)
    with pytest.raises(TrainingError, match="has no part 'rest'"):
        read_lessons(chat_format, teacher, data, "rest", 2048)


def test_the_loss_mixes_both_where_the_teacher_has_a_word(place: Path) -> None:
    teacher = place / "teacher"
    data = open_dataset(place / "data")
    found = read_lessons(ChatFormat.load(teacher), teacher, data, "valid", 2048)
    by = TaughtBy(teacher, PURE)
    source = by.source(found, by.vocabulary(teacher))
    batch = make_batch([encoded(each.sequence, n) for n, each in enumerate(found)], source)
    parameters = initial_parameters(SHAPE, 4)
    mask = causal_mask(*batch.tokens.shape, SHAPE)
    told = batch.taught
    assert told is not None
    plain: list[Any] = [
        mx.array(each) for each in (batch.tokens, batch.positions, batch.targets, batch.weights)
    ]

    def loss(weight: float, known: Any) -> float:
        tokens, *rest = plain
        teaching = (mx.array(told.ids), mx.array(told.log_probabilities), mx.array(known))
        arrays: list[Any] = [tokens, mask, *rest, *teaching, SHAPE, weight, 1.0]
        return float(taught_loss(parameters, *arrays)[0])

    alone = float(answer_loss(parameters, *[plain[0], mask, *plain[1:], SHAPE])[0])
    nothing = np.zeros_like(told.known)
    assert loss(1.0, nothing) == pytest.approx(alone)
    assert loss(0.0, told.known) == pytest.approx(alone)
    far = loss(1.0, told.known)
    assert loss(0.25, told.known) == pytest.approx(0.75 * alone + 0.25 * far, rel=1e-4)
    # The same from the two models' whole distributions.
    own, logits = mx.load(str(teacher / "model.safetensors")), plain[0]
    assert isinstance(own, dict)
    p = log_softmax(np.array(loaded(teacher)(logits)))
    student = loaded(teacher)
    student.load_weights(list(parameters.items()))
    q = log_softmax(np.array(student(logits)))
    each = (np.exp(p) * (p - q)).sum(-1).reshape(-1)
    count = int(batch.weights.sum())
    assert far == pytest.approx(each[batch.positions[:count]].sum(), rel=1e-3)
