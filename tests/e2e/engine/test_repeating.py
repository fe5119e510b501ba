"""A model that says one word for ever is stopped, and stops computing."""

from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
from tokenizers import Tokenizer

from punie.agent.runaway import BLOCK, MOST_OF_SIGNS
from tests.e2e.client import Json
from tests.e2e.engine.conftest import RunModel
from tests.e2e.engine.models import Models

TOKENS = 8_000


def parrot(models: Models) -> tuple[Path, str]:
    """Return a model that knows one word, and the word."""
    directory = models.copy(models.random(), "parrot")
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    words = {tokenizer.decode([number]): number for number in tokenizer.get_vocab().values()}
    word = max((each for each in words if each.strip().isalpha()), key=len)
    file = str(directory / "model.safetensors")
    loaded = mx.load(file)
    assert isinstance(loaded, dict)
    name = next(name for name in loaded if name.endswith("embed_tokens.weight"))
    rows = mx.arange(len(loaded[name]))[:, None]
    # All others have the logit 0, and after the word itself the word has more.
    loaded[name] = mx.where(rows == words[word], mx.abs(loaded[name]), 0.0)
    mx.eval(loaded)
    mx.save_safetensors(file, loaded)
    return directory, word


def test_one_word_for_ever(
    run_model: RunModel, models: Models, project: Path, usages: Callable[[str], list[Json]]
) -> None:
    model, word = parrot(models)
    client = run_model(model, max_tokens=TOKENS)
    session = client.new_session(project)
    assert client.prompt(session, f"Say{word}") == "end_turn"
    shown = client.text(session)
    assert 2 * MOST_OF_SIGNS < len(shown) < 2 * (MOST_OF_SIGNS + 4 * BLOCK)
    assert "tries once more" in shown
    assert "repeated itself again" in shown
    first, again = usages(session)
    assert 0 < first["output_tokens"] < TOKENS / 2
    # What repeats is not read again.
    assert again["input_tokens"] < first["input_tokens"] + 300
