import socket
from pathlib import Path
from typing import Any

import pytest

from punie.training.data.dataset import Manifest, open_dataset, write_dataset
from punie.training.data.example import Example, Function, PromptPrefix
from punie.training.data.validation import PrefixRules, example_faults, validate_dataset
from punie.training.progress import Interrupted
from tests.training.data.samples import (
    PREFIX,
    READ_FILE,
    answer,
    direct,
    example,
    reading,
    result,
    sample_examples,
    user,
    write,
)
from tests.training.sample_conversations import called

RULES = PrefixRules(PREFIX)


def faults(*messages: dict[str, Any]) -> list[str]:
    return list(example_faults(example(*messages), RULES))


def test_sound_examples_have_no_fault(tmp_path: Path) -> None:
    dataset = write(tmp_path / "data", train=sample_examples(5), valid=[direct("What is a tuple?")])
    found = validate_dataset(dataset)
    assert (found.valid, found.examples, found.faults) == (True, 6, ())


def test_two_calls_two_results_and_a_word_of_the_user() -> None:
    call = called("read_file", path="a")
    twice = call | {"tool_calls": call["tool_calls"] * 2}
    assert not faults(user("a"), twice, result("1"), result("2"), user("Wait."), answer("Yes."))


def test_a_last_call_may_be_left_without_its_result() -> None:
    assert not faults(user("look"), called("read_file", path="a"))


def test_context_must_leave_something_to_learn() -> None:
    talk = [user("a"), answer("b"), user("c"), answer("d")]
    assert not list(example_faults(example(*talk, context=3), RULES))
    (fault,) = example_faults(example(*talk, context=4), RULES)
    assert fault.startswith("it teaches nothing")


READ = called("read_file", path="a")


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        ([answer("Hello.")], "the first message is of the assistant, not of the user"),
        ([user("a")], "the last message is of the user, not of the assistant"),
        ([user("a"), READ, result("b")], "the last message is of the tool, not of the assistant"),
        ([user("a"), answer(" ")], "message 2 is an empty answer"),
        ([user(" "), answer("b")], "message 1 is empty"),
        ([user("a"), user("b"), answer("c")], "message 2 is another one of the user in a row"),
        ([user("a"), answer("b"), answer("c")], "message 3 is another one of the assistant"),
        ([user("a"), READ, answer("c")], "1 of the calls before message 3 have no result"),
        ([user("a"), READ, user("c"), answer("d")], "1 of the calls before message 3"),
        ([user("a"), answer("b"), result("c"), answer("d")], "message 3 is a tool's result that"),
        ([user("a"), READ, result("b"), result("c"), answer("d")], "message 4 is a tool's result"),
        ([user("a"), called("fly"), result("b"), answer("c")], "message 2: fly is called, which"),
        ([user("a"), called("read_file", path=3)], "read_file.path is called with wrong arguments"),
        ([user("a"), called("read_file")], "'path' is a required property"),
        ([user("a"), called("read_file", path="a", to=1)], "Additional properties are not allowed"),
        ([user("a") | {"tool_calls": READ["tool_calls"]}, READ], "message 1 calls tools and is"),
        (
            [{"role": "system", "content": "Be kind."}, user("a"), answer("b")],
            "instructions belong into a prompt prefix",
        ),
    ],
)
def test_fault(messages: list[dict[str, Any]], fault: str) -> None:
    assert fault in "\n".join(faults(*messages))


def test_tools_that_cannot_be_checked_against() -> None:
    broken = {"type": "function", "function": {"name": "b", "parameters": {"type": "nothing"}}}
    rules = PrefixRules(PromptPrefix(tools=(READ_FILE, READ_FILE, broken, {"name": "flat"})))
    assert [fault.partition(" (")[0] for fault in rules.faults] == [
        "there are two tools read_file",
        "the parameters of b are no JSON schema",
        "tool 4 has no function with a name",
    ]


@pytest.mark.parametrize("reference", ["{url}/schema.json", "#/$defs/missing", "other.json"])
def test_a_schema_elsewhere_is_not_fetched(reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(socket, "create_connection", lambda *a, **k: opened.append(a))
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        schema = {"type": "object", "properties": {"a": {"$ref": reference.format(url=url)}}}
        tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
        rules = PrefixRules(PromptPrefix(tools=(tool,)))
        fault = rules.fault_of(Function(name="f", arguments={"a": 1}))
    assert not opened
    assert fault is not None
    assert fault.startswith("f cannot be checked: its schema refers to")


def test_a_schema_may_refer_to_its_own_parts() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}},
        "$defs": {"A": {"type": "string"}},
    }
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    rules = PrefixRules(PromptPrefix(tools=(tool,)))
    assert rules.fault_of(Function(name="f", arguments={"a": "b"})) is None
    assert rules.fault_of(Function(name="f", arguments={"a": 1})) is not None


def test_every_fault_is_told_with_its_line(tmp_path: Path) -> None:
    dataset = write(tmp_path / "data", train=sample_examples(3))
    file = dataset.file("train")
    lines = file.read_text().splitlines(keepends=True)
    lines[1] = '{"messages": [\n'
    lines.append(example(user("a"), answer(""), prefix=None).model_dump_json() + "\n")
    lines.append(Example.model_validate({"messages": [user("a")], "prefix": "?"}).model_dump_json())
    file.write_text("".join(lines))
    found = validate_dataset(open_dataset(dataset.folder))
    told = [(fault.line, fault.what) for fault in found.faults]
    assert told[0][0] == 2
    assert told[0][1].startswith("not an example (Invalid JSON")
    assert told[1:] == [
        (4, "message 2 is an empty answer"),
        (5, "there is no prompt prefix ?"),
        (0, "it was changed since it was made: dataset.json names another hash"),
        (0, "it has 5 lines, and dataset.json names 3"),
    ]
    assert str(found.faults[0]).startswith(f"{file}, line 2: not an example")
    few = validate_dataset(open_dataset(dataset.folder), most_faults=2)
    assert (len(few.faults), few.fault_count, few.examples) == (2, 5, 5)


def test_a_changed_prefix_is_noticed(tmp_path: Path) -> None:
    dataset = write(tmp_path / "data", train=[reading("What is in a.py?")])
    manifest = tmp_path / "data" / "dataset.json"
    manifest.write_text(manifest.read_text().replace("Be brief.", "Be long."))
    (fault,) = validate_dataset(open_dataset(dataset.folder)).faults
    assert fault.what == f"prompt prefix {PREFIX.id} is not what it was when it was named"


def test_nothing_to_learn_from_is_not_valid(tmp_path: Path) -> None:
    assert not validate_dataset(write(tmp_path / "a", train=[])).valid
    assert not validate_dataset(write_dataset(tmp_path / "b", Manifest(made_by="t"), {})).valid


def test_stops_when_asked(tmp_path: Path) -> None:
    dataset = write(tmp_path / "data", train=sample_examples(2) * 600)
    with pytest.raises(Interrupted):
        validate_dataset(dataset, stopped=lambda: True)
