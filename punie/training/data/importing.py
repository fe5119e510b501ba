"""Bringing in conversations that others wrote: JSON lines as OpenAI and mlx-lm have them.

A line holds `messages` and maybe `tools`, with the arguments of calls as JSON texts or as objects,
or it holds `prompt` and `completion`. Instructions at the start become a prompt prefix.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from punie.tools import wording
from punie.training.data.dataset import (
    WHOLE,
    Dataset,
    Manifest,
    example_line,
    in_words,
    read_lines,
    write_dataset,
)
from punie.training.data.example import Example, PromptPrefix
from punie.training.data.validation import MOST_FAULTS, Fault, PrefixRules, example_faults
from punie.training.errors import TrainingError
from punie.training.hashing import file_hash
from punie.training.progress import Interrupted, Progress, Reporter, Stopped, never, quiet

_REPORT_EVERY = 1_000
_PARTS = {
    "train": "train",
    "valid": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
}
_ROLES = {"developer": "system", "function": "tool"}


class ImportOptions(BaseModel):
    """How foreign conversations are taken.

    Attributes:
        task: what kind of task they are, where a line does not tell.
        project: which project they act on, where a line does not tell.
        executed: say that the results in them come from tools that ran.
        skip_bad: leave out lines that cannot be brought in, rather than to bring in none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str = ""
    project: str = ""
    executed: bool = False
    skip_bad: bool = False


class UnsoundLinesError(TrainingError):
    """Lines cannot be brought in; `faults` are the first of them, `count` is how many there are."""

    def __init__(self, faults: Sequence[Fault], count: int) -> None:
        super().__init__(
            f"{wording.count(count, 'line')} cannot be brought in, the first: {faults[0]}; correct "
            "what is wrong, or leave it out (`--skip-bad`)."
        )
        self.faults = tuple(faults)
        self.count = count


@dataclass(frozen=True)
class _Line:
    part: str
    file: Path
    number: int
    found: tuple[Example, PromptPrefix] | str


def import_dataset(
    options: ImportOptions,
    files: Sequence[Path],
    out: Path,
    report: Reporter = quiet,
    stopped: Stopped = never,
) -> Dataset:
    """Make a dataset of JSON-lines files.

    Files that are all named train, valid (validation, dev) or test become these parts; otherwise
    all examples are in one.

    Raises:
        UnsoundLinesError: lines cannot be brought in, and `skip_bad` does not say to leave them.
        TrainingError: a file cannot be read, or there is nothing in them.
        Interrupted: somebody asked to stop; nothing was written.
    """
    if not files:
        raise TrainingError("Name the files to bring in.")
    faults: list[Fault] = []
    count = good = 0
    prefixes: dict[str, PromptPrefix] = {}
    rules: dict[str, PrefixRules] = {}
    parts: dict[str, None] = {}
    for number, line in enumerate(_lines(options, files), 1):
        fault = line.found if isinstance(line.found, str) else _unsound(*line.found, rules)
        if fault is None and not isinstance(line.found, str):
            good += 1
            parts[line.part] = None
            prefixes[line.found[1].id] = line.found[1]
        elif fault is not None:
            count += 1
            if len(faults) < MOST_FAULTS:
                faults.append(Fault(line.file, line.number, fault))
        if number % _REPORT_EVERY == 0:
            report(Progress("reading", number, None, "lines", {"faults": count}))
            if stopped():
                raise Interrupted("Stopped; nothing was written.")
    if faults and not options.skip_bad:
        raise UnsoundLinesError(faults, count)
    if not good:
        raise TrainingError(f"{files[0]} holds no conversation that can be learned from.")
    manifest = Manifest(
        made_by="import",
        recipe=options.model_dump(mode="json"),
        parents={f"file {number}": file_hash(file) for number, file in enumerate(files, 1)},
        prefixes=prefixes,
    )
    written = {part: _of_part(options, files, part, rules) for part in parts}
    return write_dataset(out, manifest, written)


def _of_part(
    options: ImportOptions, files: Sequence[Path], part: str, rules: dict[str, PrefixRules]
) -> Iterator[Example]:
    for line in _lines(options, files):
        if line.part != part or isinstance(line.found, str):
            continue
        if _unsound(*line.found, rules) is None:
            yield line.found[0]


def _unsound(example: Example, prefix: PromptPrefix, rules: dict[str, PrefixRules]) -> str | None:
    known = rules.setdefault(example.prefix, PrefixRules(prefix))
    faults = [*known.faults, *example_faults(example, known)]
    return "; ".join(faults) or None


def _lines(options: ImportOptions, files: Sequence[Path]) -> Iterator[_Line]:
    """Yield what the lines of the files hold, or what is wrong with them; skip empty ones."""
    named = all(file.stem in _PARTS for file in files)
    for file in files:
        part = _PARTS[file.stem] if named else WHOLE
        for number, line in read_lines(file):
            if not line.strip():
                continue
            try:
                found: tuple[Example, PromptPrefix] | str = read_foreign(line, options)
            except ValidationError as error:
                found = in_words(error)
            except (ValueError, RecursionError) as error:
                found = " ".join(str(error).split())
            yield _Line(part, file, number, found)


def read_foreign(line: bytes, options: ImportOptions) -> tuple[Example, PromptPrefix]:
    """Return the example that a foreign line holds, and the prefix that it goes with.

    Raises:
        ValueError: it holds none; says why.
    """
    data = json.loads(line, parse_constant=_no_constant)
    if not isinstance(data, Mapping):
        raise ValueError("it is not a JSON object")
    messages = _messages(data)
    instructions = ""
    if messages and messages[0]["role"] == "system":
        instructions = messages.pop(0)["content"]
    prefix = PromptPrefix(instructions=instructions, tools=tuple(_tools(data.get("tools"))))
    task, project = data.get("task"), data.get("project")
    example = Example(
        messages=tuple(messages),
        prefix=prefix.id if prefix.instructions or prefix.tools else "",
        task=task if isinstance(task, str) and task else options.task,
        project=project if isinstance(project, str) and project else options.project,
        source="imported",
        executed=options.executed,
    )
    # What JSON can say and UTF-8 cannot: half of a pair of surrogates.
    example_line(example).encode()
    return example, prefix


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _messages(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "messages" not in data and isinstance(data.get("prompt"), str):
        return [
            {"role": "user", "content": data["prompt"]},
            {"role": "assistant", "content": _text(data.get("completion"))},
        ]
    given = data.get("messages")
    if not isinstance(given, list) or not given:
        raise ValueError("it has neither messages nor prompt and completion")
    messages: list[dict[str, Any]] = []
    ids: list[str | None] = []
    results: dict[str, dict[str, Any]] = {}
    for place, message in enumerate(given, 1):
        if not isinstance(message, Mapping):
            raise ValueError(f"message {place} is not an object")
        try:
            made = _message(message)
        except ValueError as error:
            raise ValueError(f"message {place}: {error}") from None
        if made["role"] != "tool":
            ids = [_id(call) for call in _calls(message)]
            results = {}
        elif isinstance(key := message.get("tool_call_id"), str) and key in ids:
            if key in results:
                raise ValueError(f"message {place}: it is another result of the call {key}")
            # Results may come in any order; here each stands where its call does.
            results[key] = made
            if len(results) == len(ids):
                messages += [results[key] for key in ids if key is not None]
            continue
        messages.append(made)
    if results and len(results) < len(ids):
        raise ValueError("calls have no result")
    return messages


def _calls(message: Mapping[str, Any]) -> list[Any]:
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise ValueError("tool_calls is not a list")
    return calls


def _id(call: Any) -> str | None:
    key = call.get("id") if isinstance(call, Mapping) else None
    return key if isinstance(key, str) else None


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    role = message.get("role")
    made: dict[str, Any] = {
        "role": _ROLES.get(str(role), role),
        "content": _text(message.get("content")),
    }
    thought = message.get("reasoning_content")
    if isinstance(thought, str) and thought:
        made["reasoning_content"] = thought
    calls = [*_calls(message)]
    if message.get("function_call"):
        calls.append({"function": message["function_call"]})
    if calls:
        made["tool_calls"] = [{"function": _call(call)} for call in calls]
    return made


def _call(call: Any) -> dict[str, Any]:
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        raise ValueError("a call is not an object")
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}", parse_constant=_no_constant)
        except ValueError as error:
            raise ValueError(f"the arguments of {function.get('name')} are {error}") from None
    return {"name": function.get("name"), "arguments": arguments}


def _text(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = []
        for item in content:
            if not isinstance(item, Mapping) or not isinstance(item.get("text"), str):
                raise ValueError("only text can be learned, and it holds something else")
            texts.append(item["text"])
        return "\n\n".join(texts)
    raise ValueError("its content is neither text nor a list of texts")


def _tools(given: Any) -> Iterator[dict[str, Any]]:
    if isinstance(given, str):
        given = json.loads(given)
    if given is None:
        return
    if not isinstance(given, list):
        raise ValueError("tools is not a list")
    for tool in given:
        function = tool.get("function", tool) if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping):
            raise ValueError("a tool is not an object")
        parameters = function.get("parameters", function.get("input_schema", {}))
        description = function.get("description") or ""
        yield {
            "type": "function",
            "function": {
                "name": function.get("name"),
                "description": description,
                "parameters": parameters,
            },
        }
