"""Whether every example of a dataset is one that a model can learn from: faults with their lines.

What is looked at: the hashes and counts of `dataset.json`; each line's form; the order of roles;
that calls name tools of the example's prompt prefix, with arguments that satisfy their schemas; and
that results answer calls.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema.validators
import referencing
from pydantic import ValidationError

from punie.training.data.dataset import MANIFEST, Dataset, in_words
from punie.training.data.example import Example, Function, Message, PromptPrefix
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, never, quiet

MOST_FAULTS = 100
"""So many faults are told; the rest is counted."""

_LONGEST_REASON = 200
_REPORT_EVERY = 1_000


@dataclass(frozen=True)
class Fault:
    """What is wrong in a file; `line` counts from 1, and is 0 if it is no single line."""

    file: Path
    line: int
    what: str

    def __str__(self) -> str:
        place = f"{self.file}, line {self.line}" if self.line else str(self.file)
        return f"{place}: {self.what}"


@dataclass(frozen=True)
class Validation:
    """What was found: how many examples there are, how many faults, and the first of them."""

    examples: int
    fault_count: int
    faults: tuple[Fault, ...]

    @property
    def valid(self) -> bool:
        """Whether there is something to learn from and nothing wrong with it."""
        return self.examples > 0 and not self.fault_count


@dataclass
class _Found:
    most: int
    count: int = 0
    faults: list[Fault] = field(default_factory=list)

    def add(self, file: Path, line: int, what: str) -> None:
        self.count += 1
        if len(self.faults) < self.most:
            self.faults.append(Fault(file, line, what))


class PrefixRules:
    """What the calls of conversations with one prompt prefix have to satisfy."""

    def __init__(self, prefix: PromptPrefix) -> None:
        self.faults: list[str] = []
        self._checks: dict[str, Any] = {}
        for place, tool in enumerate(prefix.tools):
            self._add(place, tool)

    def _add(self, place: int, tool: Mapping[str, Any]) -> None:
        function = tool.get("function")
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(name, str) or not name:
            self.faults.append(f"tool {place + 1} has no function with a name")
            return
        if name in self._checks:
            self.faults.append(f"there are two tools {name}")
        schema = function.get("parameters", {})
        kind = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
        try:
            kind.check_schema(schema)
        except jsonschema.SchemaError as error:
            self.faults.append(f"the parameters of {name} are no JSON schema ({error.message})")
            schema = {}
        # An empty registry: nothing is fetched that a schema refers to.
        self._checks[name] = kind(schema, registry=referencing.Registry())

    def fault_of(self, call: Function) -> str | None:
        """Say what is wrong with a call; None if it is as the tool wants it."""
        check = self._checks.get(call.name)
        if check is None:
            return f"{call.name} is called, which is none of the prompt prefix's tools"
        try:
            error = jsonschema.exceptions.best_match(check.iter_errors(call.arguments))
        except referencing.exceptions.Unresolvable as missing:
            return (
                f"{call.name} cannot be checked: its schema refers to {missing.ref}, not part of it"
            )
        if error is None:
            return None
        place = "".join(f".{step}" for step in error.absolute_path)
        return _short(f"{call.name}{place} is called with wrong arguments: {error.message}")


def example_faults(example: Example, rules: PrefixRules) -> Iterator[str]:
    """Yield what keeps an example from being learned from.

    What is only context may hold what went wrong when it happened: calls that were none, and
    prompts that were not answered.
    """
    yield from _order_faults(example.messages, example.context)
    if all(message.role != "assistant" for message in example.messages[example.context :]):
        yield "it teaches nothing: no message behind its context is of the assistant"
    for place, message in enumerate(example.messages, 1):
        if message.role != "assistant":
            if message.tool_calls:
                yield f"message {place} calls tools and is not the assistant's"
            if message.role == "user" and not message.content.strip():
                yield f"message {place} is empty"
            continue
        if place <= example.context:
            continue
        if not message.content.strip() and not message.tool_calls:
            yield f"message {place} is an empty answer"
        for call in message.tool_calls:
            if (fault := rules.fault_of(call.function)) is not None:
                yield f"message {place}: {fault}"


def _order_faults(messages: Sequence[Message], context: int) -> Iterator[str]:
    if messages[0].role != "user":
        yield f"the first message is of the {messages[0].role}, not of the user"
    before = ""
    waiting = 0
    for place, message in enumerate(messages, 1):
        if message.role == "system":
            yield f"message {place} is of the system; instructions belong into a prompt prefix"
        elif message.role == "tool":
            if waiting == 0:
                yield f"message {place} is a tool's result that no call asked for"
            waiting = max(0, waiting - 1)
        else:
            if waiting:
                yield f"{waiting} of the calls before message {place} have no result"
            if message.role == before and place - 1 > context:
                yield f"message {place} is another one of the {before} in a row"
            waiting = len(message.tool_calls)
        before = message.role
    if before != "assistant":
        yield f"the last message is of the {before}, not of the assistant"


def validate_dataset(
    dataset: Dataset,
    most_faults: int = MOST_FAULTS,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> Validation:
    """Look at every line of a dataset.

    Raises:
        TrainingError: a file cannot be read.
        Interrupted: somebody asked to stop.
    """
    found = _Found(most_faults)
    manifest = dataset.manifest
    about = dataset.folder / MANIFEST
    rules = {"": PrefixRules(PromptPrefix())}
    for name, prefix in sorted(manifest.prefixes.items()):
        rules[name] = PrefixRules(prefix)
        if name != prefix.id:
            found.add(about, 0, f"prompt prefix {name} is not what it was when it was named")
        for fault in rules[name].faults:
            found.add(about, 0, f"prompt prefix {name}: {fault}")
    if not manifest.parts:
        found.add(about, 0, "it has no parts")
    total = sum(part.examples for part in manifest.parts.values())
    done = 0
    for name in manifest.parts:
        for _ in _validate_part(dataset, name, rules, found):
            done += 1
            if done % _REPORT_EVERY == 0:
                report(Progress("validating", done, total, "examples", {"faults": found.count}))
                if stopped():
                    raise Interrupted("Stopped; nothing was changed.")
    report(Progress("validating", done, done, "examples", {"faults": found.count}))
    return Validation(done, found.count, tuple(found.faults))


def _validate_part(
    dataset: Dataset, name: str, rules: Mapping[str, PrefixRules], found: _Found
) -> Iterator[None]:
    """Look at one part; yields after each line."""
    file, part = dataset.file(name), dataset.manifest.parts[name]
    digest, count = hashlib.sha256(), 0
    for number, line in dataset.lines(name):
        digest.update(line)
        count += 1
        try:
            example = Example.model_validate_json(line)
        except ValidationError as error:
            found.add(file, number, f"not an example ({_short(in_words(error))})")
        else:
            if example.prefix not in rules:
                found.add(file, number, f"there is no prompt prefix {example.prefix}")
            else:
                for fault in example_faults(example, rules[example.prefix]):
                    found.add(file, number, fault)
        yield
    if digest.hexdigest() != part.sha256:
        found.add(file, 0, f"it was changed since it was made: {MANIFEST} names another hash")
    if count != part.examples:
        found.add(file, 0, f"it has {count} lines, and {MANIFEST} names {part.examples}")
    if not count:
        found.add(file, 0, "it is empty")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 1]}…"
