"""Small datasets for tests of the data room."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from punie.training.data.dataset import Dataset, Manifest, write_dataset
from punie.training.data.example import Example, PromptPrefix
from tests.training.sample_conversations import called, conversations

READ_FILE = {
    "type": "function",
    "function": {
        "name": "read_file",
        "description": "Read a file.",
        "parameters": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "start_line": {"type": "integer"}},
            "required": ["path"],
            "additionalProperties": False,
        },
    },
}
PREFIX = PromptPrefix(instructions="Be brief.", tools=(READ_FILE,))


def example(
    *messages: Mapping[str, Any], prefix: PromptPrefix | None = PREFIX, **about: Any
) -> Example:
    name = "" if prefix is None else prefix.id
    return Example.model_validate({"messages": messages, "prefix": name, **about})


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def answer(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def result(text: str) -> dict[str, Any]:
    return {"role": "tool", "content": text}


def reading(query: str, path: str = "a.py", seen: str = "1:x = 1", **about: Any) -> Example:
    """Ask, read one file, answer."""
    talk = [user(query), called("read_file", path=path), result(seen), answer(f"{path}: {seen}")]
    return example(*talk, **{"task": "read", "source": "generated", "executed": True, **about})


def direct(query: str, text: str = "A list can change, a tuple cannot.", **about: Any) -> Example:
    """Ask, and get an answer without a tool."""
    facts = {"task": "direct", "source": "generated", "executed": True, **about}
    return example(user(query), answer(text), **facts)


def sample_examples(count: int, seed: int = 0) -> list[Example]:
    return [
        example(*messages, task="read", project=f"p{number // 2}", executed=True)
        for number, messages in enumerate(conversations(count, seed))
    ]


def write(folder: Path, prefix: PromptPrefix = PREFIX, **parts: Sequence[Example]) -> Dataset:
    manifest = Manifest(made_by="test", prefixes={prefix.id: prefix})
    return write_dataset(folder, manifest, parts)
