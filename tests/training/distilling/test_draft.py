"""A draft model is made in steps that go on where they were stopped, and is measured."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from punie.models.catalog import bundled_directory
from punie.models.provenance import read_provenance
from punie.training.data.dataset import Manifest, write_dataset
from punie.training.distilling.draft import DraftOptions, make_draft
from punie.training.drafting import Acceptance, check_draft
from punie.training.errors import TrainingError
from punie.training.pipeline.kinds import step_of
from punie.training.progress import Interrupted, Progress
from punie.training.provenance import model_hash
from tests.training.distilling.small_models import random_model
from tests.training.sample_conversations import write_data

pytestmark = pytest.mark.usefixtures("uncompiled")

SMALL = DraftOptions.model_validate(
    {
        "model": {"hidden": 32, "layers": 1, "inner": 32, "head_dim": 8, "steps": 2, "tokens": 256},
        "answers": {"tokens": 60},
        "measured": {"length": 2, "examples": 1, "tokens": 12},
    }
)


def test_it_is_made_whole_however_often_it_was_stopped(tmp_path: Path) -> None:
    data, out = write_data(tmp_path / "data", 4, 1), tmp_path / "draft"
    calls = []
    kinds: list[str] = []

    def note(progress: Progress) -> None:
        if progress.doing not in kinds:
            kinds.append(progress.doing)

    known = 0

    def something_new_has_begun() -> bool:
        return len(kinds) > known

    for _ in range(20):
        known = len(kinds)
        try:
            make_draft(SMALL, bundled_directory(), data, out, note, something_new_has_begun)
        except Interrupted as stop:
            calls.append(str(stop))
            assert not out.exists()
            continue
        break
    assert len(calls) >= 3
    found = Acceptance.model_validate_json((out / "acceptance.json").read_text())
    assert found.length == 2
    assert found.overall.tokens.of > 0
    check_draft(bundled_directory(), out)
    figures = step_of("draft").figures(out)
    assert figures["accepted"].value == found.overall.tokens.value
    assert figures["accepted_length"].high == found.overall.high
    provenance = read_provenance(out)
    assert provenance is not None
    assert provenance.parents["teacher"] == model_hash(bundled_directory())
    assert {file.name for file in out.iterdir()} == {
        "acceptance.json",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "log.jsonl",
        "model.safetensors",
        "punie-model.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_what_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    whole = write_dataset(tmp_path / "whole", Manifest(made_by="sample"), {"all": []})
    with pytest.raises(TrainingError, match="punie dataset split"):
        make_draft(SMALL, bundled_directory(), whole.folder, tmp_path / "draft")
    data = write_data(tmp_path / "data", 1, 1)
    wide = random_model(tmp_path / "wide")
    config = json.loads((wide / "config.json").read_text())
    (wide / "config.json").write_text(json.dumps(config | {"vocab_size": 512}))
    with pytest.raises(TrainingError, match="of its family"):
        make_draft(SMALL, wide, data, tmp_path / "draft")
    huge = SMALL.model_copy(update={"model": SMALL.model.model_copy(update={"inner": 10**6})})
    with pytest.raises(TrainingError, match="too many to train"):
        make_draft(huge, bundled_directory(), data, tmp_path / "draft")
    with pytest.raises(ValidationError, match="cannot share 3 key and value heads"):
        DraftOptions.model_validate({"model": {"heads": 4, "key_value_heads": 3}})
    assert not list(tmp_path.glob("*draft*"))
