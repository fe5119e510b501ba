"""What is reported of a draft model is what the engine's speculative decoding did."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.models.mlx.chat_format import ChatFormat
from punie.training.drafting import (
    AcceptanceOptions,
    Outcome,
    acceptance,
    summary,
    token_kinds,
)
from punie.training.errors import TrainingError
from punie.training.progress import Interrupted
from tests.training.distilling.small_models import random_model
from tests.training.sample_conversations import write_data

FEW = AcceptanceOptions(examples=4, tokens=40, length=3)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drafting")
    random_model(folder / "target", seed=1)
    random_model(folder / "stranger", seed=2)
    write_data(folder / "data", 4, 6)
    return folder


def test_a_twin_is_accepted_whole(models: Path) -> None:
    told: list[float] = []
    found = acceptance(
        FEW, models / "target", models / "target", models / "data", lambda p: told.append(p.done)
    )
    # Two turns of each of the four conversations.
    assert found.answers == 8
    assert told == list(range(1, 9))
    assert found.overall.tokens.value == 1.0
    assert [position.value for position in found.overall.positions] == [1.0, 1.0, 1.0]
    # Random models do not stop: 40 tokens are ten rounds of one token and three drafted.
    assert found.written == 8 * 40
    assert found.overall.tokens.of == 8 * 30
    assert found.overall.mean == found.overall.low == found.overall.high == 3.0


def test_a_stranger_is_hardly_ever_right_and_counted_in_full(models: Path) -> None:
    found = acceptance(FEW, models / "target", models / "stranger", models / "data")
    again = acceptance(FEW, models / "target", models / "stranger", models / "data")
    assert found == again
    assert found.overall.tokens.value < 0.5
    assert found.written == 8 * 40
    drafts = found.overall.positions[0].of
    # What drafts did not give, the target wrote itself, one token a pass.
    assert drafts <= found.written - found.overall.tokens.hits <= drafts + 8
    assert sum(kind.tokens.of for kind in found.kinds.values()) == found.overall.tokens.of


def test_a_model_with_other_tokens_is_refused(models: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(models / "target", other)
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    tokenizer["added_tokens"][0]["content"] = "<|other|>"
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(TrainingError, match="other tokens"):
        acceptance(FEW, models / "target", other, models / "data")


def test_it_can_be_stopped_and_needs_room(models: Path) -> None:
    with pytest.raises(Interrupted):
        acceptance(FEW, models / "target", models / "target", models / "data", stopped=lambda: True)
    long = FEW.model_copy(update={"tokens": 4000})
    with pytest.raises(TrainingError, match="shorter answers"):
        acceptance(long, models / "target", models / "target", models / "data")


def test_kinds_of_text(models: Path) -> None:
    chat_format = ChatFormat.load(models / "target")
    control = chat_format.vocabulary.control
    tokens = [5, control["<tool_call>"], 6, control["</tool_call>"], 7]
    expected = ["prose", "call", "call", "call", "prose", "prose"]
    assert token_kinds(chat_format, tokens) == expected
    thought = [5, control["</think>"], 6]
    assert token_kinds(chat_format, thought, in_thought=True) == [
        "thought",
        "thought",
        "prose",
        "prose",
    ]


@given(st.lists(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5)), max_size=6), max_size=6))
def test_sums(given: list[list[tuple[int, int]]]) -> None:
    answers = [[Outcome(0, p, min(p, a)) for p, a in answer] for answer in given]
    drafts = [outcome for answer in answers for outcome in answer]
    found = summary(answers)
    assert found.tokens.hits == sum(o.accepted for o in drafts)
    assert found.tokens.of == sum(o.proposed for o in drafts)
    assert 0 <= found.low <= found.mean <= found.high
    hits = [position.hits for position in found.positions]
    assert hits == sorted(hits, reverse=True)
    assert sum(hits) == found.tokens.hits
