"""What teachers say: answers made from what a tool returned, and the calls they make."""

import json
import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

ABOUT = (
    "I am Punie's small demonstration model. I can read, list and search files, make simple "
    "edits, create files and run commands. For real work, choose a larger model."
)
BEYOND_ME = (
    "I am only a demonstration model and cannot do that. I can read, list, search, edit and run. "
    "For real work, choose a larger model."
)
GREETING = "Hello! Ask me to read, list, search, edit or run something in this project."
WELCOME = "You are welcome."
DENIED = "You did not allow it, so nothing was done."


@dataclass(frozen=True)
class Call:
    """A tool call that a teacher makes."""

    tool: str
    arguments: dict[str, Any]


Teacher = Generator[Call, str, str]


def run_code(*lines: str) -> Call:
    """Return the call of code mode that runs some lines."""
    return Call("run_code", {"code": "\n".join(lines)})


def literal(value: str) -> str:
    """Return a string as it stands in code."""
    return json.dumps(value, ensure_ascii=False)


def line_count(count: str | int) -> str:
    """Return so many lines, in words."""
    return f"{count} line{'' if str(count) == '1' else 's'}"


def code(text: str) -> str:
    """Return the text as inline code."""
    return f"`{text}`"


def joined(parts: list[str]) -> str:
    """Return parts as a list in prose."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def failure(result: str) -> str | None:
    """Return what to say of a failed call, or None if it did not fail."""
    if not result.startswith("error: "):
        return None
    if "did not allow" in result:
        return DENIED
    return f"That did not work: {result.removeprefix('error: ')}"


def length_answer(path: str, result: str) -> str:
    """Say how many lines a file has, from what reading it returned."""
    total = re.search(r"^\(lines \d+-\d+ of (\d+);", result, re.MULTILINE)
    numbers = [total[1]] if total else re.findall(r"^(\d+):", result, re.MULTILINE)
    if not numbers:
        return f"`{path}` is empty."
    return f"`{path}` has {line_count(numbers[-1])}."


def listing_answer(subject: str, result: str) -> str:
    """Say what a folder holds."""
    if result == "(empty)":
        return f"{subject} is empty."
    return f"{subject} holds {joined([code(name) for name in result.splitlines()])}."


def places_answer(name: str, result: str) -> str:
    """Say where a name was found: three places at most."""
    found = re.findall(r"^(.+?):(\d+):", result, re.MULTILINE)
    if not found:
        return f"I found no `{name}`."
    shown = [f"`{path}` line {line}" for path, line in found[:3]]
    return f"I found `{name}` in {joined(shown)}{' and more' if len(found) > 3 else ''}."


def outcome_answer(command: str, result: str) -> str:
    """Say how a command ended and the last thing it printed."""
    first, _, output = result.partition("\n")
    code = first.removeprefix("exit code ")
    last = output.strip().splitlines()[-1].strip() if output.strip() else ""
    if code == "0":
        return f"It printed: {last}" if last else f"Done: `{command}` printed nothing."
    return f"It failed with exit code {code}" + (f": {last}" if last else ".")


def edit(path: str, edits: list[tuple[str, str]]) -> Teacher:
    """Make one call with some replacements, and say what the file has now."""
    arguments = {"path": path, "edits": [{"old_text": a, "new_text": b} for a, b in edits]}
    result = yield Call("edit_file", arguments)
    failed = failure(result)
    if failed == DENIED:
        return DENIED
    if failed is not None:
        return f"I could not edit `{path}`."
    return with_problems(
        f"Done: `{path}` now has {joined([code(new) for _, new in edits])}.", result
    )


def with_problems(answer: str, result: str) -> str:
    """Add to an answer what an edit brought in, as its result tells: the first problem."""
    _, told, problems = result.partition("\nnew problems:\n")
    rows = problems.splitlines()
    if not told:
        return answer
    first = re.sub(r"^.+?:(\d+) (\S+):", r"line \1, \2:", rows[0], count=1)
    return f"{answer} New problem: {first}{', and more' if len(rows) > 1 else ''}."


def tests_answer(result: str) -> str:
    """Say how a test run went: the counts, and the first test that failed."""
    counts = result.partition("\n")[0]
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", result, re.MULTILINE)
    if failed is None:
        return f"The tests ran: {counts}."
    return f"The tests ran: {counts}. The first that failed is `{failed[1]}`."
