"""A model that cannot be used is one sentence in the chat, and another one can be chosen."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.client import Json
from tests.e2e.conftest import Start
from tests.e2e.engine.models import Models

Spoil = Callable[[Path], None]


def edit(path: Path, change: Callable[[Json], None]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def cut_off(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5_000])


def of_another_model(model: Path) -> None:
    edit(model / "config.json", lambda config: config.update(hidden_size=96))


def deeper_than_its_weights(model: Path) -> None:
    edit(model / "config.json", lambda config: config.update(num_hidden_layers=5))


def unknown(model: Path) -> None:
    edit(model / "config.json", lambda config: config.update(model_type="qwen99"))


def without_markers(model: Path) -> None:
    def change(tokenizer: Json) -> None:
        tokenizer["added_tokens"] = [
            token for token in tokenizer["added_tokens"] if token["content"] != "<tool_call>"
        ]

    edit(model / "tokenizer.json", change)


def without_an_end(model: Path) -> None:
    def change(tokenizer: Json) -> None:
        for token in tokenizer["added_tokens"]:
            token["content"] = token["content"].replace("<|", "<!")

    template = model / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|", "<!"))
    edit(model / "tokenizer.json", change)
    edit(model / "tokenizer_config.json", lambda config: config.pop("eos_token"))
    edit(model / "config.json", lambda config: config.pop("eos_token_id"))


def with_an_angry_template(model: Path) -> None:
    (model / "chat_template.jinja").write_text("{{ raise_exception('No tools here') }}")


def with_a_broken_template(model: Path) -> None:
    (model / "chat_template.jinja").write_text("{% for message in messages %}")


def with_a_damaged_tokenizer(model: Path) -> None:
    (model / "tokenizer.json").write_text('{"model": {')


def with_a_damaged_configuration(model: Path) -> None:
    (model / "config.json").write_text("[]")


def without_weights(model: Path) -> None:
    (model / "model.safetensors").unlink()


def with_weights_of_nothing(model: Path) -> None:
    (model / "model.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00not a header....")


SPOILED: dict[str, tuple[Spoil, str]] = {
    "cut_off": (cut_off, "bytes"),
    "of_another_model": (of_another_model, "not those of its config.json"),
    "deeper": (deeper_than_its_weights, "not those of its config.json"),
    "unknown": (unknown, "qwen99"),
    "without_markers": (without_markers, "<tool_call>"),
    "without_an_end": (without_an_end, "ends an answer"),
    "angry_template": (with_an_angry_template, "No tools here"),
    "broken_template": (with_a_broken_template, "template"),
    "damaged_tokenizer": (with_a_damaged_tokenizer, "tokenizer.json"),
    "damaged_configuration": (with_a_damaged_configuration, "config.json"),
    "without_weights": (without_weights, "no weights"),
    "weights_of_nothing": (with_weights_of_nothing, "model.safetensors"),
}


@pytest.mark.slow
def test_one_sentence_and_another_model(start: Start, models: Models, tmp_path: Path) -> None:
    """One process meets all of them, each in a project of its own that asks for it."""
    client = start(environment={"PUNIE_MODE": "plan", "PUNIE_MAX_TOKENS": "200"})
    client.initialize()
    for name, (spoil, word) in SPOILED.items():
        model = models.copy(models.random(), f"spoiled-{name}")
        spoil(model)
        project = tmp_path / name
        (project / ".punie").mkdir(parents=True)
        (project / ".punie" / "settings.toml").write_text(f'model = "{model}"\n')
        session = client.new_session(project)
        assert client.prompt(session, "Good morning") == "end_turn", name
        told = client.text(session)
        assert word in told, (name, told)
        assert str(model) in told or "The model's chat template" in told, (name, told)
        assert not told.count(".)"), told
        assert told.strip().count("\n") == 0, told
        assert told.endswith("."), told
        assert len(told) < 400, told
        assert "Traceback" not in told, told
        assert "punie logs" not in told, told
        client.request(
            "session/set_config_option",
            {"sessionId": session, "configId": "model", "value": "punie-tiny"},
        )
        assert client.prompt(session, "What files are here?") == "end_turn", name
        assert len(client.text(session)) > len(told), name
