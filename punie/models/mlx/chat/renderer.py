"""Messages to token ids through a model's own chat template.

Control tokens come from the template's source alone. Before it is compiled, every control
literal in it (`<|im_start|>`, `<tool_call>`, ...) is replaced by a mark, a single private
character; after rendering, marks become ids and everything else is ordinary text. So no content
can become a control token, neither whole nor joined from pieces at a border, and a template that
looks for a literal in content (`'</think>' in content`) never finds one there.
"""

import functools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.sandbox

from punie.models.catalog import ModelUnavailable
from punie.models.mlx.chat.vocabulary import Vocabulary

ESCAPE = "\U000f0000"
"""Starts the escape of a private character that content happens to contain."""

_LONG_PIECE = 4_000
"""A text between control tokens of this many characters is remembered with its ids."""

_LONG_PIECES = 8

_FIRST_MARK = ord(ESCAPE) + 1
_GENERATION_TAG = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")


class TemplateError(ValueError):
    """The template refuses the messages; the text is its own sentence."""


class TemplateRenderer:
    """A compiled chat template together with the vocabulary it writes for."""

    def __init__(
        self, source: str, vocabulary: Vocabulary, variables: Mapping[str, str] | None = None
    ) -> None:
        """Compile `source`; `variables` are special tokens by name, such as `eos_token`.

        Raises `ModelUnavailable` when the template cannot be compiled.
        """
        self._vocabulary = vocabulary
        literals = sorted(vocabulary.control, key=len, reverse=True)
        self._marks = {literal: chr(_FIRST_MARK + i) for i, literal in enumerate(literals)}
        self._ids = {self._marks[literal]: vocabulary.control[literal] for literal in literals}
        reserved = f"{ESCAPE}-{chr(_FIRST_MARK + len(literals))}"
        self._reserved = re.compile(f"[{reserved}]")
        self._mark = re.compile(f"([{chr(_FIRST_MARK)}-{chr(_FIRST_MARK + len(literals))}])")
        self._escaped = re.compile(f"{ESCAPE}([0-9a-f]{{4}})")
        self._literal = re.compile("|".join(map(re.escape, literals)) or r"(?!)")
        marked = self._mark_literals(_GENERATION_TAG.sub("", source))
        try:
            self._template = _environment().from_string(marked)
        except jinja2.TemplateError as error:
            reason = str(error).rstrip(".")
            raise ModelUnavailable(
                f"The model's chat template cannot be read ({reason}); choose another model."
            ) from error
        # Instructions and tools stand at the start of each conversation.
        self._encode_long = functools.lru_cache(_LONG_PIECES)(self._encode_text)
        self._variables = {
            name: self._mark_literals(text) for name, text in (variables or {}).items()
        }

    def _mark_literals(self, text: str) -> str:
        return self._literal.sub(lambda match: self._marks[match.group()], text)

    def tokens(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None,
        *,
        generation_prompt: bool,
        options: Mapping[str, object] | None = None,
    ) -> list[int]:
        """Return the ids of the conversation; raise `TemplateError` if the template refuses it.

        `options` are further variables of the template, such as `enable_thinking`.
        """
        context: dict[str, Any] = {
            **self._variables,
            "messages": self._escape(messages),
            "add_generation_prompt": generation_prompt,
            **(options or {}),
        }
        if tools:
            context["tools"] = self._escape(tools)
        else:
            context["tools"] = None
        try:
            rendered = self._template.render(context)
        except (jinja2.TemplateError, TypeError, AttributeError, KeyError) as error:
            raise TemplateError(
                f"The model's chat template refused the messages: {error}"
            ) from error
        return self._encode(rendered)

    def _encode(self, rendered: str) -> list[int]:
        ids: list[int] = []
        for index, piece in enumerate(self._mark.split(rendered)):
            if index % 2:
                ids.append(self._ids[piece])
            elif len(piece) >= _LONG_PIECE:
                ids.extend(self._encode_long(piece))
            elif piece:
                ids.extend(self._vocabulary.encode_text(self._unescape(piece)))
        return ids

    def _encode_text(self, piece: str) -> tuple[int, ...]:
        return tuple(self._vocabulary.encode_text(self._unescape(piece)))

    def _escape(self, value: Any) -> Any:
        """Return plain data like `value` in which no string contains a reserved character."""
        if isinstance(value, str):
            return self._reserved.sub(_escape_character, value)
        if isinstance(value, Mapping):
            return {self._escape(key): self._escape(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._escape(item) for item in value]
        return value

    def _unescape(self, text: str) -> str:
        if ESCAPE not in text:
            return text
        return self._escaped.sub(lambda match: chr(ord(ESCAPE) + int(match.group(1), 16)), text)


def _escape_character(match: re.Match[str]) -> str:
    return f"{ESCAPE}{ord(match.group()) - ord(ESCAPE):04x}"


def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    return environment


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # The filter of jinja2 itself escapes `<` and `&`, which chat templates do not want.
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
