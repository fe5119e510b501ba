"""Conversations as a model itself would hold them: what a draft model has to foresee.

A conversation of a dataset is kept as far as the model would have written it, token for token. At
the first turn that it would write otherwise its own answer is put, and the conversation ends there,
because what followed belongs to the other answer.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import make_prompt_cache
from pydantic import BaseModel, ConfigDict, Field

from punie.models.architecture import context_window, text_config
from punie.models.catalog import read_json_object
from punie.models.mlx.chat.parser import (
    AnswerText,
    MalformedCall,
    ParserEvent,
    ThoughtText,
    ToolCall,
)
from punie.models.mlx.chat_format import ChatFormat
from punie.models.mlx.library import load_model
from punie.training.data.dataset import (
    MANIFEST,
    Dataset,
    Manifest,
    Part,
    example_line,
    open_dataset,
)
from punie.training.data.example import Example, Function, Message, PromptPrefix
from punie.training.data.example import ToolCall as Called
from punie.training.data.sequences import tool_specifications, training_sequences
from punie.training.distilling.lessons import Lesson, lessons, runs
from punie.training.distilling.shared_vocabulary import SharedVocabulary
from punie.training.distilling.targets import Softening, Teacher
from punie.training.errors import TrainingError
from punie.training.hashing import file_hash
from punie.training.model_folder import resumable_folder
from punie.training.output import write_text, written_in_words
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, never, quiet
from punie.training.provenance import model_hash

_AT_ONCE = 32
_READ_AT_ONCE = 512


class OwnAnswersOptions(BaseModel):
    """How a model's own conversations are made.

    Attributes:
        tokens: longest answer; one that does not end within is left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: int = Field(400, ge=2)


@dataclass(frozen=True)
class _Writer:
    """A model, and how it reads and writes."""

    model: Any
    width: int
    window: int
    chat_format: ChatFormat


def own_answers(
    options: OwnAnswersOptions,
    model: Path,
    dataset: Path,
    out: Path,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> Dataset:
    """Write the conversations of a dataset as `model` would hold them, decoding greedily.

    The parts stay what they are. An interrupted call is gone on with by the next.

    Raises:
        TrainingError: an input cannot be used, or `out` cannot be written.
        ModelUnavailable: the model's files cannot be read.
        Interrupted: `stopped()`.
    """
    data = open_dataset(dataset)
    config = text_config(read_json_object(model / "config.json"))
    chat_format = ChatFormat.load(model)
    parents = {"model": model_hash(model), "dataset": data.hash}
    recipe = options.model_dump()
    try:
        loaded, _ = load_model(model)
    except Exception as error:
        raise TrainingError(
            f"The model in {model} cannot be loaded ({error}); choose another one."
        ) from error
    writer = _Writer(loaded, int(config["vocab_size"]), context_window(config), chat_format)
    total = sum(part.examples for part in data.manifest.parts.values())
    read = 0
    with resumable_folder(out, {"own-answers": recipe, **parents}) as folder:
        parts: dict[str, Part] = {}
        marks: list[Path] = []
        for name, part in data.manifest.parts.items():
            journal = _Journal.open(folder, name)
            examples = islice(data.examples(name), journal.read, None)
            while journal.read < part.examples:
                if stopped():
                    raise Interrupted(
                        f"Stopped after {read + journal.read:,} of {total:,} conversations; the "
                        "same command goes on from there."
                    )
                group = list(islice(examples, _AT_ONCE))
                prefixes = [data.prefix(example) for example in group]
                journal.add(len(group), _answered(writer, options, group, prefixes))
                done = read + journal.read
                report(Progress("answering", done, total, "conversations"))
            read += part.examples
            parts[name] = journal.close()
            marks.append(journal.mark)
        manifest = Manifest(
            made_by="own-answers",
            recipe=recipe,
            parents=parents,
            prefixes=data.manifest.prefixes,
            parts=parts,
        )
        for mark in marks:
            mark.unlink(missing_ok=True)
        write_text(folder / MANIFEST, manifest.model_dump_json(indent=2) + "\n")
    return Dataset(out, manifest)


@dataclass
class _Journal:
    """One part under way: its file, and beside it how much of it is certain."""

    file: Path
    read: int = 0
    written: int = 0
    size: int = 0

    @classmethod
    def open(cls, folder: Path, part: str) -> "_Journal":
        journal = cls(folder / f"{part}.jsonl")
        if journal.mark.is_file():
            kept = json.loads(journal.mark.read_text(encoding="utf-8"))
            journal.read, journal.written, journal.size = kept
        return journal

    @property
    def mark(self) -> Path:
        """The file that tells how far it is."""
        return self.file.with_suffix(".done")

    def add(self, read: int, examples: Sequence[Example]) -> None:
        lines = "".join(map(example_line, examples)).encode()
        try:
            with self.file.open("r+b" if self.file.exists() else "wb") as out:
                # What stands behind the last mark is of an interrupted call.
                out.truncate(self.size)
                out.seek(self.size)
                out.write(lines)
        except OSError as error:
            raise TrainingError(written_in_words(error, self.file)) from error
        self.read += read
        self.written += len(examples)
        self.size += len(lines)
        write_text(self.mark, json.dumps([self.read, self.written, self.size]))

    def close(self) -> Part:
        self.file.touch()
        return Part(examples=self.written, sha256=file_hash(self.file))


def _answered(
    writer: _Writer,
    options: OwnAnswersOptions,
    examples: Sequence[Example],
    prefixes: Sequence[PromptPrefix],
) -> list[Example]:
    """Return what the model makes of some conversations, those left out that it does not end."""
    chat_format = writer.chat_format
    found = [
        # Later turns stand in longer sequences.
        list(
            takewhile(
                lambda lesson: len(lesson.sequence.ids) <= writer.window,
                lessons(chat_format, chat_format, example, prefix),
            )
        )
        for example, prefix in zip(examples, prefixes, strict=True)
    ]
    flat = [lesson for each in found for lesson in each]
    if not flat:
        return []
    likeliest = Teacher(
        writer.model, SharedVocabulary(writer.width), Softening(temperature=1.0, top=1), flat
    ).targets(range(len(flat)))
    choices = iter(np.split(likeliest.ids[:, 0], np.cumsum([each.learned for each in flat])[:-1]))
    kept: list[Example] = []
    for example, prefix, each in zip(examples, prefixes, found, strict=True):
        turns = list(_turns(each, [next(choices) for _ in each]))
        own = _own(writer, options, example, prefix, turns)
        if own is not None:
            kept.append(own)
    return kept


@dataclass(frozen=True)
class _Turn:
    """A turn of the assistant: what it answers, and whether the model would write just it."""

    prompt: list[int]
    same: bool


def _turns(found: Sequence[Lesson], choices: Sequence[Any]) -> Iterator[_Turn]:
    for lesson, chosen in zip(found, choices, strict=True):
        row = 0
        for start, end in runs(lesson.sequence):
            ids = lesson.sequence.ids
            same = ids[start:end] == chosen[row : row + end - start].tolist()
            row += end - start
            yield _Turn(ids[:start], same)


def _own(
    writer: _Writer,
    options: OwnAnswersOptions,
    example: Example,
    prefix: PromptPrefix,
    turns: Sequence[_Turn],
) -> Example | None:
    places = [
        place
        for place, message in enumerate(example.messages)
        if message.role == "assistant" and place >= example.context
    ]
    if not turns:
        return None
    number = next((n for n, turn in enumerate(turns) if not turn.same), None)
    if number is None:
        end = places[len(turns) - 1] + 1
        return _cut(example, example.messages[:end])
    answer = _written(writer, options, turns[number].prompt)
    before = example.messages[: places[number]]
    if answer is not None:
        message = read_answer(writer.chat_format, answer[:-1], prefix, turns[number].prompt)
        if message is not None:
            own = _cut(example, (*before, message))
            last = training_sequences(writer.chat_format, own, prefix)[-1]
            if last.ids[: len(turns[number].prompt) + len(answer)] == [
                *turns[number].prompt,
                *answer,
            ]:
                return own
    # The answer does not end, or would be written down otherwise; what came before it is good.
    return _cut(example, example.messages[: places[number - 1] + 1]) if number else None


def _cut(example: Example, messages: tuple[Message, ...]) -> Example:
    return example.model_copy(update={"messages": messages, "source": "teacher", "checked": ""})


def _written(
    writer: _Writer, options: OwnAnswersOptions, prompt: Sequence[int]
) -> list[int] | None:
    """Return what the model writes, with the token that ends it; None if it does not end."""
    room = min(options.tokens, writer.window - len(prompt))
    layers = make_prompt_cache(writer.model)
    logits = None
    for start in range(0, len(prompt), _READ_AT_ONCE):
        chunk = mx.array(list(prompt[start : start + _READ_AT_ONCE]))[None]
        logits = writer.model(chunk, cache=layers)[0, -1]
        mx.eval(logits)
    answer: list[int] = []
    while logits is not None and len(answer) < room:
        token = int(mx.argmax(logits[: writer.width]).item())  # type: ignore[arg-type]
        answer.append(token)
        if token in writer.chat_format.stop_ids:
            return answer
        logits = writer.model(mx.array([[token]]), cache=layers)[0, -1]
    return None


def read_answer(
    chat_format: ChatFormat, tokens: Sequence[int], prefix: PromptPrefix, prompt: Sequence[int]
) -> Message | None:
    """Return an answer as a message; None for one with a call that cannot be read."""
    parser = chat_format.parser(
        tool_specifications(prefix), in_thought=chat_format.ends_in_thought(prompt)
    )
    decoder = chat_format.decoder()
    events: list[ParserEvent] = [*parser.feed(decoder.feed(tokens))]
    events += parser.feed([decoder.finish()])
    events += parser.finish()
    text, thought, calls = "", "", []
    for event in events:
        if isinstance(event, AnswerText):
            text += event.text
        elif isinstance(event, ThoughtText):
            thought += event.text
        elif isinstance(event, ToolCall):
            function = Function(name=event.name, arguments=event.arguments)
            calls.append(Called(function=function))
        elif isinstance(event, MalformedCall):
            return None
    return Message(
        role="assistant", content=text, reasoning_content=thought or None, tool_calls=tuple(calls)
    )
