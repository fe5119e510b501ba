"""The ChatFormat seam: one renderer and one streaming parser for each model, from its template.

Serving, training data and evaluation all go through it, so what is trained is what is served.
Nothing here imports MLX or pydantic-ai.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from punie.models.catalog import ModelUnavailable, read_json_object
from punie.models.mlx.chat.calls import ToolSchemas, properties_of
from punie.models.mlx.chat.checkpoints import Checkpoints, find_checkpoints
from punie.models.mlx.chat.markup import CLOSE_CALL, CLOSE_THOUGHT, OPEN_CALL, OPEN_THOUGHT
from punie.models.mlx.chat.parser import ResponseParser
from punie.models.mlx.chat.renderer import TemplateError, TemplateRenderer
from punie.models.mlx.chat.values import value_text
from punie.models.mlx.chat.vocabulary import TextDecoder, Vocabulary
from punie.models.traits import Thinking, template_text, template_traits

ChatMessage = Mapping[str, Any]
"""A message as chat templates take it: `role` (system, user, assistant, tool), `content`, and for
the assistant `reasoning_content` and `tool_calls`, each `{"name": ..., "arguments": {...}}`."""

_SPECIAL_VARIABLES = ("bos_token", "eos_token", "pad_token", "unk_token")
_END_OF_TURN = ("<|im_end|>", "<|endoftext|>")
MARKERS = (
    "<|im_start|>",
    "<|im_end|>",
    OPEN_CALL,
    CLOSE_CALL,
    OPEN_THOUGHT,
    CLOSE_THOUGHT,
)
"""What delimits turns, calls and thoughts in the Qwen family."""


@dataclass(frozen=True)
class Prompt:
    """An encoded conversation; `in_thought` tells that it ends inside an open `<think>`."""

    tokens: list[int]
    in_thought: bool
    checkpoints: Checkpoints


@dataclass(frozen=True)
class ToolSpecification:
    """A tool as the model reads it; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]


_PROBE_TOOL = ToolSpecification("probe", "A tool.", {"type": "object", "properties": {}})


def _probe_conversation(thoughts: Sequence[str | None]) -> list[ChatMessage]:
    """Return a conversation with all that may follow on each other, and these thoughts in it."""
    calls = [{"name": "probe", "arguments": {}}] * 2
    # White space at the end, for templates that trim what is not the newest.
    answers = [
        {"role": "assistant", "content": "a \n", "reasoning_content": thought}
        for thought in thoughts
    ]
    bare = [answer | {"content": "", "tool_calls": calls} for answer in answers]
    result = {"role": "tool", "content": "b \n"}
    question = {"role": "user", "content": "c \n"}
    return [
        {"role": "system", "content": "d"},
        question,
        answers[0],
        question,
        bare[1],
        result,
        result,
        answers[2] | {"tool_calls": calls[:1]},
        result,
        bare[3] | {"tool_calls": calls[:1]},
        result,
        question,
        answers[4],
    ]


_PROBE_CONVERSATIONS = (
    _probe_conversation([None] * 5),
    _probe_conversation(["e"] * 5),
    _probe_conversation(["e", None, "e", None, ""]),
    _probe_conversation([None, "e", None, "e", "e"]),
)


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
        self.traits = template_traits(template)
        self.syntax = self.traits.syntax
        ends = {vocabulary.control[name] for name in _END_OF_TURN if name in vocabulary.control}
        self.stop_ids = stop_ids | ends
        self._renderer = TemplateRenderer(template, vocabulary, variables)

    @classmethod
    def read(cls, directory: Path) -> "ChatFormat":
        """Read the format of the model in `directory` as its files say it, whether it works or not.

        Raises `ModelUnavailable` for files that cannot be read.
        """
        vocabulary = Vocabulary.load(directory)
        config_file = directory / "tokenizer_config.json"
        config = read_json_object(config_file) if config_file.exists() else {}
        variables = {
            name: literal
            for name in _SPECIAL_VARIABLES
            if (literal := _literal(config.get(name))) is not None
        }
        ends = declared_ends(directory, vocabulary)
        return cls(
            template_text(directory),
            vocabulary,
            variables=variables,
            stop_ids=frozenset().union(*ends.values()),
        )

    @classmethod
    def load(cls, directory: Path) -> "ChatFormat":
        """Read the format of the model in `directory`; raise `ModelUnavailable`."""
        loaded = cls.read(directory)
        _check_markers(directory, template_text(directory), loaded.vocabulary)
        if not loaded.stop_ids:
            raise ModelUnavailable(
                f"The model in {directory} names no token that ends an answer (eos_token_id in "
                "config.json); choose another model, or pull or convert it again."
            )
        try:
            loaded.encode([{"role": "user", "content": "Hello"}], [_PROBE_TOOL])
        except TemplateError as error:
            raise ModelUnavailable(
                f"The chat template of the model in {directory} does not work "
                f"({error.__cause__ or error}); "
                "choose another model or replace its chat_template.jinja."
            ) from error
        return loaded

    @functools.cached_property
    def keeps_thoughts(self) -> bool:
        """Whether the thoughts of earlier turns stay in the prompt, which then only grows.

        Templates that drop them rewrite the last answer as soon as the next question is there.
        """
        history = [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b", "reasoning_content": "c"},
        ]
        question = {"role": "user", "content": "d"}
        try:
            before = self.encode(history, generation_prompt=False).tokens
            after = self.encode([*history, question], generation_prompt=False).tokens
        except TemplateError:
            return False
        return after[: len(before)] == before

    @functools.cached_property
    def answer_opening(self) -> tuple[int, ...] | None:
        """What stands before each answer, if a whole conversation can be encoded at once.

        Then the encoded conversation begins with each prompt that led to it, and the opening ends
        those prompts and stands nowhere else. None where the template writes earlier messages in
        another way later, or opens answers in several ways.
        """
        openings = set()
        try:
            for messages in _PROBE_CONVERSATIONS:
                openings |= self._openings(messages)
        except TemplateError:
            return None
        opening = openings.pop()
        return opening if opening and not openings else None

    def _openings(self, messages: Sequence[ChatMessage]) -> set[tuple[int, ...]]:
        """Return the openings of a conversation's answers; an empty one for what is not as said."""
        whole = self.encode(messages, [_PROBE_TOOL], generation_prompt=False).tokens
        starts, found = [], set()
        for place, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before = self.encode(messages[:place], [_PROBE_TOOL], generation_prompt=False).tokens
            for thinking in (None, False):
                prompt = self.encode(messages[:place], [_PROBE_TOOL], thinking=thinking).tokens
                same = prompt == whole[: len(prompt)] and before == prompt[: len(before)]
                found.add(tuple(prompt[len(before) :]) if same else ())
            starts.append(len(before))
        opening = next(iter(found))
        if starts != [start for start, _ in find_openings(whole, opening)]:
            found.add(())
        return found

    def encode(
        self,
        messages: Sequence[ChatMessage],
        tools: Sequence[ToolSpecification] = (),
        *,
        generation_prompt: bool = True,
        thinking: Thinking | None = None,
        preserve_thinking: bool | None = None,
    ) -> Prompt:
        """Render and encode a conversation.

        `thinking` switches the model's thinking, or says how hard it is to think, and
        `preserve_thinking` keeps or drops the thoughts of earlier turns, where the template can;
        None is its default. Raises `punie.models.mlx.renderer.TemplateError` if the template
        refuses the messages.
        """
        schemas: ToolSchemas = {tool.name: tool.parameters for tool in tools}
        tokens = self._renderer.tokens(
            [self._prepare(message, schemas) for message in messages],
            [tool_dictionary(tool) for tool in tools],
            generation_prompt=generation_prompt,
            options=self._options(thinking, preserve_thinking),
        )
        checkpoints = find_checkpoints(
            tokens,
            self.vocabulary,
            [message["role"] for message in messages],
            generation_prompt=generation_prompt,
        )
        return Prompt(tokens, generation_prompt and self.ends_in_thought(tokens), checkpoints)

    def parser(
        self, tools: Sequence[ToolSpecification] = (), *, in_thought: bool = False
    ) -> ResponseParser:
        """Return a parser for one response to a prompt with these tools."""
        schemas: ToolSchemas = {tool.name: tool.parameters for tool in tools}
        control = self.vocabulary.control
        return ResponseParser(schemas, self.syntax, in_thought=in_thought, control=control)

    def decoder(self) -> TextDecoder:
        """Return a decoder for one response."""
        return TextDecoder(self.vocabulary)

    def _options(
        self, thinking: Thinking | None, preserve_thinking: bool | None
    ) -> dict[str, object]:
        options: dict[str, object] = {}
        if thinking is not None:
            if self.traits.thinking_switch:
                options["enable_thinking"] = thinking is not False
            if thinking in self.traits.efforts:
                options["reasoning_effort"] = thinking
        if preserve_thinking is not None and self.traits.preserve_thinking:
            options["preserve_thinking"] = preserve_thinking
        return options

    def _prepare(self, message: ChatMessage, schemas: ToolSchemas) -> dict[str, Any]:
        prepared = {"content": "", **message}
        if calls := prepared.get("tool_calls"):
            prepared["tool_calls"] = [
                {"type": "function", "function": self._prepare_call(call, schemas)}
                for call in calls
            ]
        return prepared

    def _prepare_call(self, call: Mapping[str, Any], schemas: ToolSchemas) -> dict[str, Any]:
        function = call.get("function", call)
        arguments = function["arguments"]
        if self.syntax == "xml":
            # XML templates print values with Python's str; models write and read JSON.
            schema = schemas.get(function["name"], {})
            known = properties_of(schema)
            arguments = {
                key: value_text(value, known.get(key), schema) for key, value in arguments.items()
            }
        return {"name": function["name"], "arguments": arguments}

    def ends_in_thought(self, tokens: Sequence[int]) -> bool:
        """Tell whether a prompt ends inside an open `<think>`."""
        opener = self.vocabulary.control.get(OPEN_THOUGHT)
        closer = self.vocabulary.control.get(CLOSE_THOUGHT)
        start = self.vocabulary.control.get("<|im_start|>")
        for token in reversed(tokens):
            if token == opener and opener is not None:
                return True
            if token in (closer, start):
                return False
        return False


def find_openings(tokens: Sequence[int], opening: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield where `opening` begins and ends in `tokens`, each time it stands there."""
    end = 0
    while opening:
        try:
            start = tokens.index(opening[0], end)
        except ValueError:
            return
        end = start + 1
        if list(tokens[start : start + len(opening)]) == list(opening):
            end = start + len(opening)
            yield start, end


def _check_markers(directory: Path, template: str, vocabulary: Vocabulary) -> None:
    """Refuse a tokenizer without a control token that the template writes."""
    for marker in MARKERS:
        if marker in template and marker not in vocabulary.control:
            raise ModelUnavailable(
                f"The tokenizer of the model in {directory} has no token {marker}, which its chat "
                "template writes; they belong to different models, so pull or convert it again."
            )


def tool_dictionary(tool: ToolSpecification) -> dict[str, Any]:
    """Return a tool as templates and servers take it."""
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": {"type": "object", "properties": {}, **tool.parameters},
    }
    return {"type": "function", "function": function}


def _literal(value: Any) -> str | None:
    if isinstance(value, Mapping):
        value = value.get("content")
    return value if isinstance(value, str) else None


def declared_ends(directory: Path, vocabulary: Vocabulary) -> dict[str, frozenset[int]]:
    """Return which tokens end an answer by the file that says so; none where a file names none.

    An end that tokenizer_config.json names and the tokenizer has not is left out. Raises
    `ModelUnavailable` for files that cannot be read.
    """
    found: dict[str, frozenset[int]] = {}
    for name in ("config.json", "generation_config.json"):
        file = directory / name
        if not file.exists():
            continue
        config = read_json_object(file)
        ids: set[int] = set()
        for place in (config, config.get("text_config") or {}):
            value = place.get("eos_token_id")
            ids.update(value if isinstance(value, list) else [] if value is None else [value])
        found[name] = frozenset(ids)
    file = directory / "tokenizer_config.json"
    if file.exists():
        end = vocabulary.control.get(_literal(read_json_object(file).get("eos_token")) or "")
        found[file.name] = frozenset() if end is None else frozenset({end})
    return found
