"""The ChatFormat seam: one renderer and one streaming parser for each model, from its template.

Serving, training data and evaluation all go through it, so what is trained is what is served.
Nothing here imports MLX or pydantic-ai.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from punie.models.catalog import ModelUnavailable, read_json_object
from punie.models.mlx.calls import ToolSchemas
from punie.models.mlx.parser import CLOSE_THOUGHT, OPEN_THOUGHT, CallSyntax, ResponseParser
from punie.models.mlx.renderer import TemplateRenderer
from punie.models.mlx.values import value_text
from punie.models.mlx.vocabulary import TextDecoder, Vocabulary

ChatMessage = Mapping[str, Any]
"""A message as chat templates take it: `role` (system, user, assistant, tool), `content`, and for
the assistant `reasoning_content` and `tool_calls`, each `{"name": ..., "arguments": {...}}`."""

_SPECIAL_VARIABLES = ("bos_token", "eos_token", "pad_token", "unk_token")
_END_OF_TURN = ("<|im_end|>", "<|endoftext|>")


@dataclass(frozen=True)
class Prompt:
    """An encoded conversation; `in_thought` tells that it ends inside an open `<think>`."""

    tokens: list[int]
    in_thought: bool


@dataclass(frozen=True)
class ToolSpecification:
    """A tool as the model reads it; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]


class ChatFormat:
    """How one model reads and writes conversations."""

    def __init__(
        self,
        template: str,
        vocabulary: Vocabulary,
        *,
        variables: Mapping[str, str] | None = None,
        stop_ids: frozenset[int] = frozenset(),
    ) -> None:
        """Build a format from a chat template's text; raise `ModelUnavailable` if it is broken."""
        self.vocabulary = vocabulary
        self.syntax: CallSyntax = detect_syntax(template)
        self.can_switch_thinking = "enable_thinking" in template
        ends = {vocabulary.control[name] for name in _END_OF_TURN if name in vocabulary.control}
        self.stop_ids = stop_ids | ends
        self._renderer = TemplateRenderer(template, vocabulary, variables)

    @classmethod
    def load(cls, directory: Path) -> "ChatFormat":
        """Read the format of the model in `directory`; raise `ModelUnavailable`."""
        vocabulary = Vocabulary.load(directory)
        config_file = directory / "tokenizer_config.json"
        config = read_json_object(config_file) if config_file.exists() else {}
        variables = {
            name: literal
            for name in _SPECIAL_VARIABLES
            if (literal := _literal(config.get(name))) is not None
        }
        return cls(
            _template(directory, config),
            vocabulary,
            variables=variables,
            stop_ids=_stop_ids(directory, vocabulary, variables.get("eos_token")),
        )

    def encode(
        self,
        messages: Sequence[ChatMessage],
        tools: Sequence[ToolSpecification] = (),
        *,
        generation_prompt: bool = True,
        thinking: bool | None = None,
    ) -> Prompt:
        """Render and encode a conversation.

        `thinking` switches the model's thinking where the template can; None is its default.
        Raises `punie.models.mlx.renderer.TemplateError` if the template refuses the messages.
        """
        tokens = self._renderer.tokens(
            [self._prepare(message) for message in messages],
            [_tool_dictionary(tool) for tool in tools],
            generation_prompt=generation_prompt,
            options={} if thinking is None else {"enable_thinking": thinking},
        )
        return Prompt(tokens, generation_prompt and self._ends_in_thought(tokens))

    def parser(
        self, tools: Sequence[ToolSpecification] = (), *, in_thought: bool = False
    ) -> ResponseParser:
        """Return a parser for one response to a prompt with these tools."""
        schemas: ToolSchemas = {tool.name: tool.parameters for tool in tools}
        return ResponseParser(schemas, self.syntax, in_thought=in_thought)

    def decoder(self) -> TextDecoder:
        """Return a decoder for one response."""
        return TextDecoder(self.vocabulary)

    def _prepare(self, message: ChatMessage) -> dict[str, Any]:
        prepared = {"content": "", **message}
        if calls := prepared.get("tool_calls"):
            prepared["tool_calls"] = [
                {"type": "function", "function": self._prepare_call(call)} for call in calls
            ]
        return prepared

    def _prepare_call(self, call: Mapping[str, Any]) -> dict[str, Any]:
        function = call.get("function", call)
        arguments = function["arguments"]
        if self.syntax == "xml":
            # XML templates print values with Python's str; models write and read JSON.
            arguments = {key: value_text(value) for key, value in arguments.items()}
        return {"name": function["name"], "arguments": arguments}

    def _ends_in_thought(self, tokens: list[int]) -> bool:
        opener = self.vocabulary.control.get(OPEN_THOUGHT)
        closer = self.vocabulary.control.get(CLOSE_THOUGHT)
        start = self.vocabulary.control.get("<|im_start|>")
        for token in reversed(tokens):
            if token == opener and opener is not None:
                return True
            if token in (closer, start):
                return False
        return False


def detect_syntax(template: str) -> CallSyntax:
    """Tell from a chat template's text how the model writes tool calls."""
    return "xml" if "<function=" in template else "json"


def _tool_dictionary(tool: ToolSpecification) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": {"type": "object", "properties": {}, **tool.parameters},
    }
    return {"type": "function", "function": function}


def _template(directory: Path, config: Mapping[str, Any]) -> str:
    file = directory / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = config.get("chat_template")
    if isinstance(template, list):
        named = {entry.get("name"): entry.get("template") for entry in template}
        template = named.get("tool_use") or named.get("default")
    if not isinstance(template, str):
        raise ModelUnavailable(
            f"The model in {directory} has no chat template; choose an instruction-tuned model "
            "or add its chat_template.jinja."
        )
    return template


def _literal(value: Any) -> str | None:
    if isinstance(value, Mapping):
        value = value.get("content")
    return value if isinstance(value, str) else None


def _stop_ids(directory: Path, vocabulary: Vocabulary, eos_token: str | None) -> frozenset[int]:
    found: set[int] = set()
    for name in ("config.json", "generation_config.json"):
        file = directory / name
        if not file.exists():
            continue
        config = read_json_object(file)
        for place in (config, config.get("text_config") or {}):
            value = place.get("eos_token_id")
            found.update(value if isinstance(value, list) else [] if value is None else [value])
    if eos_token in vocabulary.control:
        found.add(vocabulary.control[eos_token])
    return frozenset(found)
