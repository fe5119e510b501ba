"""What a model can do, from its own files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
from pydantic_ai.models import ModelRequestParameters

from punie.models.catalog import ModelChoice, ModelUnavailable, resolve_model
from punie.models.load import close_models, open_model
from punie.models.mlx.chat_format import ChatFormat
from punie.models.mlx.model import MlxModel
from punie.models.traits import (
    Thinking,
    is_supported,
    read_traits,
    template_text,
    template_traits,
    thinking_levels,
)
from tests.assets import TEMPLATES, chat_format, needs_assets, template
from tests.models.families import FamilyDirectories
from tests.models.tiny_model import XML_TEMPLATE, build_model

CODER, HERMES, QWEN35 = TEMPLATES

EFFORT_TEMPLATE = (
    """
{%- set level = reasoning_effort|default('xhigh') %}
{%- if level == 'high' %}{%- set level = 'xhigh' %}{%- endif %}
{%- set effort = reasoning_effort|default('xhigh') %}
{%- if effort == 'high' %}{%- set effort = 'xhigh' %}{%- endif %}
{%- if effort not in ('xhigh', 'medium', 'low') %}
{{- raise_exception('Unknown effort') }}
{%- endif %}
{%- if effort == 'low' %}{{- '<|im_start|>system\\nBe quick.<|im_end|>\\n' }}{%- endif %}
{%- if preserve_thinking is undefined or preserve_thinking %}{{- '' }}{%- endif %}
""".strip()
    + XML_TEMPLATE
    + "{%- if enable_thinking is defined and not enable_thinking %}"
    "{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
)
"""In the manner of Qwen3.8: three levels, `high` being another name for the highest."""


@needs_assets
@pytest.mark.parametrize(
    ("name", "syntax", "levels", "keeps"),
    [
        (CODER, "xml", (), True),
        (HERMES, "json", (False, True), False),
        (QWEN35, "xml", (False, True), False),
    ],
)
def test_published_templates(
    name: str, syntax: str, levels: tuple[Thinking, ...], keeps: bool
) -> None:
    traits = template_traits(template(name))
    assert (traits.syntax, traits.tools) == (syntax, True)
    assert traits.thinking_levels == levels
    assert (traits.efforts, traits.preserve_thinking) == ((), False)
    assert chat_format(name).keeps_thoughts is keeps


def test_levels_of_effort_are_those_that_the_template_compares_with() -> None:
    traits = template_traits(EFFORT_TEMPLATE)
    assert traits.efforts == ("low", "medium", "xhigh")
    assert traits.thinking_levels == (False, True, "low", "medium", "xhigh")
    assert traits.preserve_thinking
    assert not traits.tools


@pytest.mark.parametrize(
    ("text", "efforts"),
    [
        (
            "{% if reasoning_effort in ['low', \"high\", 'max'] %}{% endif %}",
            ("low", "high", "max"),
        ),
        ("{{ 'Reasoning: ' + (reasoning_effort or 'medium') }}", ()),
        ("{% set effort = 'low' %}{% if effort == 'high' %}{% endif %}", ()),
        ("Set reasoning_effort to 'low' or 'high'.", ()),
    ],
)
def test_what_is_no_choice_of_effort(text: str, efforts: tuple[str, ...]) -> None:
    assert template_traits(text).efforts == efforts


def test_words_in_prose_are_no_switch() -> None:
    traits = template_traits("You have tools and enable_thinking. {{ messages }}")
    assert not traits.tools
    assert traits.thinking_levels == ()


@pytest.mark.anyio
async def test_the_level_reaches_the_prompt(tmp_path: Path) -> None:
    directory = build_model(tmp_path / "m")
    (directory / "chat_template.jinja").write_text(EFFORT_TEMPLATE)
    model = await open_model(resolve_model(str(directory)))
    assert isinstance(model, MlxModel)
    words = model.chat_format.vocabulary.text
    history: list[ModelMessage] = [ModelRequest([UserPromptPart("hi")])]

    async def prompt(thinking: Thinking | None) -> str:
        settings = None if thinking is None else {"thinking": thinking}
        _, parameters = model.prepare_request(settings, ModelRequestParameters())  # type: ignore[arg-type]
        return words(await model.prompt_tokens(history, parameters))

    try:
        plain = await prompt(None)
        assert await prompt(True) == plain
        assert await prompt("low") == "<|im_start|>system\nBe quick.<|im_end|>\n" + plain
        assert await prompt("medium") == plain
        assert await prompt("minimal") == plain, "a level that the template does not know"
        assert (await prompt(False)).endswith("<think>\n\n</think>\n\n")
    finally:
        await close_models()


def test_earlier_thoughts_stay_where_the_template_keeps_them(
    family_directories: FamilyDirectories,
) -> None:
    assert ChatFormat.load(family_directories.own("qwen3", "append")).keeps_thoughts
    assert not ChatFormat.load(family_directories.own("qwen3", "strip")).keeps_thoughts


def test_preserving_is_asked_for_only_where_it_can_be(tmp_path: Path) -> None:
    directory = build_model(tmp_path / "m")
    messages = [{"role": "user", "content": "hi"}]
    plain = ChatFormat.load(directory)
    assert plain.encode(messages, preserve_thinking=True) == plain.encode(messages)
    (directory / "chat_template.jinja").write_text(
        XML_TEMPLATE + "{% if preserve_thinking %}<|im_start|>{% endif %}"
    )
    able = ChatFormat.load(directory)
    assert able.encode(messages, preserve_thinking=True) != able.encode(messages)
    assert able.encode(messages, preserve_thinking=False) == able.encode(messages)


def test_a_template_is_found_in_every_place(tmp_path: Path) -> None:
    config = tmp_path / "tokenizer_config.json"
    with pytest.raises(ModelUnavailable, match="has no chat template"):
        template_text(tmp_path)
    config.write_text(json.dumps({"chat_template": "a"}))
    assert template_text(tmp_path) == "a"
    named = [{"name": "default", "template": "b"}, "odd"]
    config.write_text(json.dumps({"chat_template": named}))
    assert template_text(tmp_path) == "b"
    named.append({"name": "tool_use", "template": "c"})
    config.write_text(json.dumps({"chat_template": named}))
    assert template_text(tmp_path) == "c"
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": "d"}))
    assert template_text(tmp_path) == "d"
    (tmp_path / "chat_template.jinja").write_text("e")
    assert template_text(tmp_path) == "e"
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff\xff")
    with pytest.raises(ModelUnavailable, match="cannot be read"):
        template_text(tmp_path)


@pytest.mark.parametrize(
    ("model_type", "supported"),
    [
        ("qwen2", True),
        ("qwen3", True),
        ("qwen3_moe", True),
        ("qwen3_next", True),
        ("qwen3_5", True),
        ("qwen3_5_moe", True),
        ("iquestcoder", True),  # mlx-lm loads it with another one's module
        ("qwen4_exp", False),
        ("../cache", False),
        ("", False),
        (None, False),
        (3, False),
    ],
)
def test_support_is_that_of_the_installed_mlx_lm(model_type: object, supported: bool) -> None:
    assert is_supported({"model_type": model_type}) is supported


def test_a_whole_model(family_directories: FamilyDirectories) -> None:
    traits = read_traits(family_directories.own("qwen3_5", "strip"))
    assert (traits.model_type, traits.supported, traits.window) == ("qwen3_5", True, 32_768)
    assert traits.quantization is None
    assert traits.template is not None
    assert traits.template.thinking_switch


def test_thinking_of_a_script(tmp_path: Path) -> None:
    path = tmp_path / "s.json"

    def levels(content: object) -> tuple[Thinking, ...]:
        path.write_text(json.dumps(content))
        return thinking_levels(ModelChoice(f"scripted:{path}", "s", "", "scripted", path))

    assert levels({"thinking": True}) == (False, True)
    assert levels({"thinking": ["high", "low", "odd"]}) == (False, True, "low", "high")
    assert levels({"thinking": 1}) == levels({}) == levels([]) == ()


def test_traits_import_nothing_heavy() -> None:
    code = (
        "import sys, punie.models.traits, punie.models.checking, punie.models.memory;"
        "punie.models.traits.is_supported({'model_type': 'xverse'});"
        "print([m for m in ('mlx', 'mlx_lm', 'pydantic_ai', 'transformers', 'jinja2', "
        "'tokenizers', 'pydantic', 'huggingface_hub') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("file", "spoil", "message"),
    [
        ("tokenizer.json", '"<tool_call>"', "has no token <tool_call>, which its chat template"),
        ("tokenizer.json", '"<|im_end|>"', "has no token"),
    ],
)
def test_a_tokenizer_without_the_markers(
    tmp_path: Path, file: str, spoil: str, message: str
) -> None:
    directory = build_model(tmp_path / "m")
    content = (directory / file).read_text()
    assert spoil in content
    (directory / file).write_text(content.replace(spoil, '"<other>"'))
    with pytest.raises(ModelUnavailable, match=message.replace("|", r"\|")):
        ChatFormat.load(directory)


def test_a_model_that_names_no_end(tmp_path: Path) -> None:
    directory = build_model(tmp_path / "m")
    config = json.loads((directory / "config.json").read_text())
    del config["eos_token_id"]
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "tokenizer_config.json").unlink()
    content = json.loads((directory / "tokenizer.json").read_text())
    names = {"<|im_end|>": "<end>", "<|endoftext|>": "<text>"}
    for token in content["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    (directory / "tokenizer.json").write_text(json.dumps(content))
    text = (directory / "chat_template.jinja").read_text().replace("<|im_end|>", "<end>")
    (directory / "chat_template.jinja").write_text(text)
    with pytest.raises(ModelUnavailable, match="names no token that ends an answer"):
        ChatFormat.load(directory)
