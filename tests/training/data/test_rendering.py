import json
import shutil
from pathlib import Path

import pytest

from punie.models.catalog import bundled_directory
from punie.models.mlx.chat_format import ChatFormat
from punie.training.data.dataset import open_dataset
from punie.training.data.rendering import is_rendered, open_rendered, pieces, render_dataset
from punie.training.data.sequences import training_sequences
from punie.training.errors import TrainingError
from punie.training.progress import Interrupted
from tests.training.data.samples import (
    PREFIX,
    answer,
    direct,
    example,
    reading,
    sample_examples,
    user,
    write,
)

MODEL = bundled_directory()
TINY = ChatFormat.load(MODEL)


def test_ids_are_those_of_training(tmp_path: Path) -> None:
    examples = [reading("What is in a.py?"), direct("Why?")]
    dataset = write(tmp_path / "data", train=examples, valid=[direct("Who?")])
    render_dataset(dataset.folder, MODEL, tmp_path / "out")
    found = open_rendered(tmp_path / "out", MODEL)
    assert found.manifest.dataset == dataset.hash
    assert is_rendered(tmp_path / "out")
    assert not is_rendered(dataset.folder)
    expected = [
        (each.id, sequence)
        for each in examples
        for sequence in training_sequences(TINY, each, PREFIX)
    ]
    assert list(found.sequences("train")) == expected
    assert len(list(found.sequences("valid"))) == 1
    with pytest.raises(TrainingError, match="has no part 'test'"):
        list(found.sequences("test"))


def test_ids_of_another_tokenizer_are_refused(tmp_path: Path) -> None:
    dataset = write(tmp_path / "data", train=[direct("Why?")])
    render_dataset(dataset.folder, MODEL, tmp_path / "out")
    for name in ("tokenizer.json", "chat_template.jinja"):
        other = tmp_path / name.partition(".")[0]
        shutil.copytree(MODEL, other, ignore=shutil.ignore_patterns("*.safetensors"))
        assert open_rendered(tmp_path / "out", other)
        (other / name).write_text((other / name).read_text() + " ")
        with pytest.raises(TrainingError, match="with another tokenizer or chat template than"):
            open_rendered(tmp_path / "out", other)


def test_ids_are_not_taken_for_conversations(tmp_path: Path) -> None:
    dataset = write(tmp_path / "data", train=[direct("Why?")])
    render_dataset(dataset.folder, MODEL, tmp_path / "out")
    with pytest.raises(TrainingError, match="holds the token ids of a dataset"):
        open_dataset(tmp_path / "out")
    with pytest.raises(TrainingError, match="There is no rendered dataset"):
        open_rendered(dataset.folder, MODEL)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({"id": "a", "ids": [1], "runs": [0, 2]}, "1 ids and 2 marks"),
        ({"id": "a", "ids": ["b"], "runs": [0]}, "ids.0"),
        ({"messages": []}, "id: Field required"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: object, told: str) -> None:
    dataset = write(tmp_path / "data", train=[direct("Why?")])
    found = render_dataset(dataset.folder, MODEL, tmp_path / "out")
    (tmp_path / "out" / "train.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(TrainingError, match=rf"train\.jsonl, line 1 is not a sequence .*{told}"):
        list(found.sequences("train"))
    (tmp_path / "out" / "rendered.json").write_text("{}")
    with pytest.raises(TrainingError, match=r"rendered\.json cannot be read \(dataset: Field"):
        open_rendered(tmp_path / "out", MODEL)


def test_text_in_runs() -> None:
    (sequence,) = training_sequences(TINY, example(user("a"), answer("b")), PREFIX)
    assert pieces(TINY, sequence) == [
        ("<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n", False),
        ("b<|im_end|>", True),
        ("\n", False),
    ]


def test_what_cannot_be_rendered_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    dataset = write(tmp_path / "data", train=[direct("Why?"), direct("Who?")])
    model = tmp_path / "model"
    shutil.copytree(MODEL, model, ignore=shutil.ignore_patterns("*.safetensors"))
    template = (model / "chat_template.jinja").read_text()
    refusal = "{% if 'Who' in messages[-2].content %}{{ raise_exception('No.') }}{% endif %}"
    (model / "chat_template.jinja").write_text(
        template + "{% if messages | length > 2 %}" + refusal + "{% endif %}"
    )
    with pytest.raises(TrainingError, match=r"train\.jsonl, line 2: .* refused .* No\."):
        render_dataset(dataset.folder, model, tmp_path / "out")
    many = write(tmp_path / "many", train=sample_examples(200))
    with pytest.raises(Interrupted):
        render_dataset(many.folder, MODEL, tmp_path / "out", stopped=lambda: True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "many", "model"]
