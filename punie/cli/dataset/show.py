"""`punie dataset show`: one example, as a person reads it."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from punie.cli.dataset.arguments import DatasetFolder, Json
from punie.cli.terminal import printable

if TYPE_CHECKING:
    from punie.training.data.example import Example, PromptPrefix

Wanted = Annotated[
    str, typer.Argument(metavar="EXAMPLE", help="PART:LINE, LINE, or the first letters of its id.")
]


def show(
    dataset: DatasetFolder,
    example: Wanted = "1",
    prefix: Annotated[
        bool, typer.Option("--prefix", help="Show instructions and tools as well.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show one example as a conversation, by line or id."""
    from punie.cli.steps import step
    from punie.training.data.dataset import open_dataset
    from punie.training.data.finding import find_example

    with step():
        opened = open_dataset(dataset)
        part, line, found = find_example(opened, example)
        before = opened.prefix(found)
    if as_json:
        told = {"id": found.id, "part": part, "line": line, **found.model_dump(mode="json")}
        if prefix:
            told["prompt_prefix"] = before.model_dump(mode="json")
        print(json.dumps(told, indent=2, ensure_ascii=False))
        return
    print(printable(f"{found.id}  {part}.jsonl line {line}  {_about(found)}"))
    if prefix:
        _print_prefix(before)
    for number, message in enumerate(found.messages):
        mark = " (only read)" if number < found.context else ""
        print(f"\n[{message.role}]{mark}")
        if message.reasoning_content:
            print(printable(f"(thinks) {message.reasoning_content}"))
        if message.content:
            print(printable(message.content))
        for call in message.tool_calls:
            arguments = json.dumps(call.function.arguments, ensure_ascii=False, indent=2)
            print(printable(f"-> {call.function.name} {arguments}"))


def _about(example: "Example") -> str:
    facts: list[str] = [example.source]
    if example.task:
        facts.append(f"task {example.task}")
    if example.project:
        facts.append(f"project {example.project}")
    facts.append("executed" if example.executed else "not executed")
    if example.checked:
        facts.append(f"checked by {example.checked}")
    return ", ".join(facts)


def _print_prefix(prefix: "PromptPrefix") -> None:
    print(f"\n[instructions]\n{printable(prefix.instructions)}")
    for tool in prefix.tools:
        print(f"\n[tool]\n{printable(json.dumps(tool['function'], indent=2, ensure_ascii=False))}")
