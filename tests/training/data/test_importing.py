import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie.training.data.dataset import Dataset
from punie.training.data.example import Example
from punie.training.data.importing import (
    ImportOptions,
    UnsoundLinesError,
    import_dataset,
    read_foreign,
)
from punie.training.data.validation import validate_dataset
from punie.training.errors import TrainingError
from tests.training.data.samples import READ_FILE, answer, reading, user

OPENAI: dict[str, Any] = {
    "messages": [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Read"}, {"type": "text", "text": "a"}],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "1",
                    "type": "function",
                    "function": {"name": "read_file", "arguments": text},
                }
                | {"id": number}
                for number, text in (("1", '{"path": "a"}'), ("2", '{"path": "b"}'))
            ],
        },
        {"role": "tool", "tool_call_id": "2", "content": "in b"},
        {"role": "tool", "tool_call_id": "1", "content": "in a"},
        {"role": "assistant", "content": "Both.", "refusal": None},
    ],
    "tools": [READ_FILE],
}


def taken(folder: Path, *lines: Any, name: str = "chats", **options: Any) -> Dataset:
    file = folder / f"{name}.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    file.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return import_dataset(ImportOptions(**options), [file], folder / "out")


def test_chats_with_tools(tmp_path: Path) -> None:
    dataset = taken(tmp_path, OPENAI, "", {"prompt": "Why?", "completion": "So."}, task="chat")
    assert validate_dataset(dataset).valid
    first, second = dataset.examples("all")
    prefix = dataset.prefix(first)
    assert prefix.instructions == "Be brief."
    assert prefix.tools == (READ_FILE,)
    assert first.query == "Read\n\na"
    assert [call.arguments for call in first.calls] == [{"path": "a"}, {"path": "b"}]
    # Results stand in the order of their calls.
    assert [each.content for each in first.messages if each.role == "tool"] == ["in a", "in b"]
    assert (first.source, first.executed, first.task, first.context) == (
        "imported",
        False,
        "chat",
        0,
    )
    assert second == Example.model_validate(
        {"messages": [user("Why?"), answer("So.")], "task": "chat"}
    )
    assert list(dataset.manifest.parents) == ["file 1"]


def test_other_ways_to_write_it() -> None:
    old = {
        "messages": [
            {"role": "user", "content": "Read a"},
            {"role": "assistant", "function_call": {"name": "read_file", "arguments": ""}},
            {"role": "function", "name": "read_file", "content": "in a"},
            {"role": "assistant", "content": "Done.", "reasoning_content": "Hm."},
        ],
        "tools": json.dumps([{"name": "read_file", "input_schema": {"type": "object"}}]),
        "project": "p1",
        "task": 3,
    }
    example, prefix = read_foreign(json.dumps(old).encode(), ImportOptions(executed=True))
    assert [message.role for message in example.messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert example.messages[3].reasoning_content == "Hm."
    assert (example.project, example.task, example.executed) == ("p1", "", True)
    assert prefix.tools[0]["function"]["parameters"] == {"type": "object"}


def changed(**fields: Any) -> dict[str, Any]:
    return {**OPENAI, **fields}


CALL = {"role": "assistant", "tool_calls": [{"function": {"name": "read_file"}}]}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "Expecting property name"),
        ("[1]", "it is not a JSON object"),
        ('{"text": "a"}', "it has neither messages nor prompt and completion"),
        ({"messages": [3]}, "message 1 is not an object"),
        ({"messages": [{"role": "boss", "content": "a"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": 3}]}, "message 1: its content is neither"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "message 1: only text can be learned",
        ),
        (changed(tools=[3]), "a tool is not an object"),
        (changed(tools={"a": 1}), "tools is not a list"),
        (changed(tools=[{"function": {"parameters": {}}}]), "tool 1 has no function with a name"),
        (changed(tools=None), "read_file is called, which is none of the prompt prefix's tools"),
        (changed(messages=OPENAI["messages"][:4]), "calls have no result"),
        (
            changed(messages=[*OPENAI["messages"][:4], OPENAI["messages"][3]]),
            "message 5: it is another result of the call 2",
        ),
        (changed(messages=[user("a"), CALL]), "'path' is a required property"),
        (
            changed(
                messages=[
                    user("a"),
                    {
                        "role": "assistant",
                        "tool_calls": [{"function": {"name": "f", "arguments": "{"}}],
                    },
                ]
            ),
            "message 2: the arguments of f are Expecting property name",
        ),
        (
            changed(messages=[user("a"), {"role": "assistant", "tool_calls": ["b"]}]),
            "message 2: a call is not an object",
        ),
        (changed(messages=[user("a"), {"role": "assistant", "tool_calls": 1}]), "is not a list"),
        ('{"prompt": "a", "completion": NaN}', "NaN is no JSON"),
        ('{"prompt": "a", "completion": "\\ud800"}', "surrogates not allowed"),
        ("[" * 100_000, "recursion"),
        ({"messages": [user("a")]}, "the last message is of the user"),
    ],
)
def test_a_line_that_cannot_be_brought_in_is_named(tmp_path: Path, line: Any, fault: str) -> None:
    with pytest.raises(UnsoundLinesError) as caught:
        taken(tmp_path, OPENAI, line)
    (found,) = caught.value.faults
    assert (found.file.name, found.line) == ("chats.jsonl", 2)
    assert fault in found.what
    assert "1 line cannot be brought in, the first: " in str(caught.value)
    assert not (tmp_path / "out").exists()
    dataset = taken(tmp_path, OPENAI, line, skip_bad=True)
    assert dataset.manifest.parts["all"].examples == 1


keys = st.sampled_from(
    [
        "role",
        "content",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "function_call",
        "id",
        "text",
    ]
)
leaves = st.none() | st.integers() | st.text(max_size=4) | st.sampled_from(["user", "assistant"])
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=4)
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(keys, trees, max_size=5), trees)
def test_whatever_it_holds_it_is_read_or_refused(message: dict[str, Any], tools: Any) -> None:
    line = {"messages": [user("a"), {"role": "assistant", **message}], "tools": tools}
    try:
        read_foreign(json.dumps(line).encode(), ImportOptions())
    except ValueError:
        return


def test_parts_by_the_names_of_the_files(tmp_path: Path) -> None:
    files = []
    for name in ("train", "validation"):
        files.append(tmp_path / f"{name}.jsonl")
        files[-1].write_text(json.dumps({"prompt": name, "completion": "b"}))
    parts = import_dataset(ImportOptions(), files, tmp_path / "out").manifest.parts
    assert list(parts) == ["train", "valid"]
    other = tmp_path / "more.jsonl"
    other.write_text(json.dumps({"prompt": "c", "completion": "d"}))
    whole = import_dataset(ImportOptions(), [*files, other], tmp_path / "whole").manifest.parts
    assert {name: part.examples for name, part in whole.items()} == {"all": 3}


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no conversation"):
        taken(tmp_path, "")
    with pytest.raises(TrainingError, match="Name the files"):
        import_dataset(ImportOptions(), [], tmp_path / "out")
    with pytest.raises(TrainingError, match="No such file"):
        import_dataset(ImportOptions(), [tmp_path / "none.jsonl"], tmp_path / "out")


def test_own_lines_lose_nothing_that_is_said(tmp_path: Path) -> None:
    own = reading("What is in a.py?", task="read", project="p")
    line = own.model_dump(mode="json", exclude_defaults=True) | {"tools": [READ_FILE]}
    (found,) = taken(tmp_path, line).examples("all")
    assert (found.id, found.task, found.project) == (own.id, "read", "p")
