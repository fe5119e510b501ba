from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from punie.models.catalog import bundled_directory
from punie.models.mlx.chat_format import ChatFormat
from punie.models.mlx.library import load_model
from punie.training.answer_logits import answer_logits
from punie.training.data.dataset import Manifest, open_dataset, write_dataset
from punie.training.data.example import Example
from punie.training.encoding import Encoded, encode_part
from punie.training.errors import TrainingError
from punie.training.measuring import measure, measure_loaded
from punie.training.progress import Interrupted
from tests.training.sample_conversations import called, conversations, write_data
from tests.training.sample_models import write_adapter, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("base") / "model")


def _write(folder: Path, *examples: list[dict[str, Any]]) -> Path:
    parts = {"valid": [Example.model_validate({"messages": each}) for each in examples]}
    return write_dataset(folder, Manifest(made_by="sample"), parts).folder


def _writes(model: Any, ids: Any, learned: Any, start: int) -> bool:
    """Decode greedily from `start`, until the turn is over or something else is written."""
    for place in range(start, len(ids)):
        if not learned[place]:
            break
        if mx.argmax(model(mx.array(ids[None, :place]))[0, -1]).item() != ids[place]:
            return False
    return True


def test_what_counts_as_exact_is_what_greedy_decoding_writes(tmp_path: Path) -> None:
    bundled = bundled_directory()
    data = _write(
        tmp_path / "data",
        *conversations(2, seed=3),
        [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Go away."}],
    )
    measured = measure(bundled, None, data, "valid")

    chat_format = ChatFormat.load(bundled)
    loaded, _ = load_model(bundled)
    exact = {}
    for example in encode_part(chat_format, open_dataset(data), "valid", 2048).sequences:
        starts = [
            place
            for place in range(1, len(example.ids))
            if example.learned[place] and not example.learned[place - 1]
        ]
        for number, start in enumerate(starts):
            exact[example.number, number] = _writes(loaded, example.ids, example.learned, start)
    assert {(turn.example, turn.turn): turn.exact for turn in measured.turns} == exact
    # Both happen, or the comparison shows nothing.
    assert set(exact.values()) == {True, False}
    assert measured.exact_turns.of == 5
    assert measured.calls().exact_turns.of == 2
    assert measured.first_turns().exact_turns.of == 3
    assert [turn.example for turn in measured.direct().turns] == [2]
    assert measured.calls().decisions.value == 1.0


def test_the_loss_is_the_mean_over_what_the_assistant_wrote(tmp_path: Path, model: Path) -> None:
    data = write_data(tmp_path / "data")
    adapter = write_adapter(tmp_path / "adapter", model)
    measured = measure(model, None, data, "valid")

    loaded, _ = load_model(model)
    total, count = 0.0, 0
    for each in encode_part(ChatFormat.load(model), open_dataset(data), "valid", 2048).sequences:
        ids, learned = mx.array(each.ids), mx.array(each.learned[1:])
        losses = nn.losses.cross_entropy(loaded(ids[None, :-1])[0], ids[1:])
        total += np.array((losses * learned).sum()).item()
        count += int(each.learned[1:].sum())
    assert measured.tokens == count
    assert measured.loss == pytest.approx(total / count, rel=1e-4)

    changed = measure(model, adapter, data, "valid")
    assert [turn.tokens for turn in changed.turns] == [turn.tokens for turn in measured.turns]
    assert abs(changed.loss - measured.loss) > 1e-5
    few = measure(model, None, data, "valid", limit=3)
    assert few.turns == measured.turns[:6]


@pytest.mark.parametrize("tied", [True, False])
def test_logits_of_some_positions_are_those_of_the_whole_pass(tied: bool) -> None:
    from mlx_lm.models import qwen3, qwen3_moe

    shape = {
        "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 24,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "rms_norm_eps": 1e-6,
        "vocab_size": 40, "max_position_embeddings": 64, "rope_theta": 10000.0,
        "tie_word_embeddings": tied,
    }  # fmt: skip
    experts = {
        "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8,
        "decoder_sparse_step": 1, "mlp_only_layers": [], "norm_topk_prob": True,
    }  # fmt: skip
    tokens, positions = mx.arange(24).reshape(2, 12), mx.array([3, 4, 17, 0])
    for family, config in ((qwen3, shape), (qwen3_moe, shape | experts)):
        name = family.__name__.rpartition(".")[2]
        loaded = family.Model(family.ModelArgs.from_dict(config | {"model_type": name}))
        expected = loaded(tokens).reshape(-1, 40)[positions]
        assert mx.allclose(answer_logits(loaded, tokens, positions), expected, atol=1e-5).item()
        # A family whose head is not known takes the long way to the same.
        loaded.model_type = "unknown"
        assert mx.array_equal(answer_logits(loaded, tokens, positions), expected).item()


class _Saying:
    """Stands for a model that is sure of the right token, except where it is told another one."""

    def __init__(self, instead: dict[int, int]) -> None:
        self.instead, self.training = instead, True

    def train(self, mode: bool = True) -> None:
        self.training = mode

    def eval(self) -> None:
        self.train(False)

    def __call__(self, tokens: mx.array) -> mx.array:
        following = mx.concatenate([tokens[:, 1:], tokens[:, :1]], axis=1)
        for place, token in self.instead.items():
            following = mx.where(mx.arange(tokens.shape[1]) == place, token, following)
        return mx.eye(300)[following] * 20


def _judged(chat_format: ChatFormat, found: Encoded, place: int, token: int) -> tuple[bool, ...]:
    model = _Saying({place - 1: token})
    (turn,) = measure_loaded(model, chat_format, found).turns
    assert model.training
    return turn.decided, turn.first, turn.exact


def test_a_decision_is_right_if_a_call_is_opened_where_one_is_due_and_nowhere_else(
    tmp_path: Path, model: Path
) -> None:
    chat_format = ChatFormat.load(model)
    opener = chat_format.vocabulary.control["<tool_call>"]
    question = {"role": "user", "content": "What is in abc.py?"}
    call = {**called("read_file", path="abc.py"), "content": "a b"}
    data = open_dataset(_write(tmp_path / "a", [question, call]))
    found = encode_part(chat_format, data, "valid", 2048)
    (example,) = found.sequences
    due = example.ids.tolist().index(opener)
    start = int(example.learned.argmax())
    assert start < due - 1
    assert _judged(chat_format, found, due, opener) == (True, True, True)
    assert _judged(chat_format, found, due, 7) == (False, True, False)
    assert _judged(chat_format, found, start, 7) == (True, False, False)
    assert _judged(chat_format, found, due + 2, 7) == (True, True, False)

    answer = {"role": "assistant", "content": "a b c"}
    data = open_dataset(_write(tmp_path / "b", [question, answer]))
    found = encode_part(chat_format, data, "valid", 2048)
    start = int(found.sequences[0].learned.argmax())
    assert _judged(chat_format, found, start, opener) == (False, False, False)
    assert _judged(chat_format, found, start + 1, opener) == (False, True, False)
    assert _judged(chat_format, found, start, 7) == (True, False, False)


def test_what_is_too_long_is_counted_and_nothing_left_is_told(tmp_path: Path, model: Path) -> None:
    data = write_data(tmp_path / "data")
    chat_format = ChatFormat.load(model)
    every = encode_part(chat_format, open_dataset(data), "valid", 999)
    lengths = [len(each.ids) for each in every.sequences]
    assert len(set(lengths)) > 1
    assert (every.too_long, every.longest) == (0, max(lengths))
    found = encode_part(chat_format, open_dataset(data), "valid", max(lengths) - 1)
    assert (found.too_long, found.longest) == (lengths.count(max(lengths)), max(lengths))
    assert len(found.sequences) == 8 - found.too_long

    context = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    only_read = Example.model_validate({"messages": context, "context": 2})
    empty = write_dataset(tmp_path / "e", Manifest(made_by="x"), {"valid": [only_read]}).folder
    with pytest.raises(TrainingError, match="nothing that can be measured"):
        measure(model, None, empty, "valid")
    with pytest.raises(TrainingError, match="has no part 'test'"):
        measure(model, None, data, "test")
    with pytest.raises(Interrupted, match="measures again"):
        measure(model, None, data, "valid", stopped=lambda: True)
