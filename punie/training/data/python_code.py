"""The Python code that the assistant writes in an example, and whether it is of its time.

Ruff judges it, on its syntax tree and for the version that is wanted, whatever Python runs here.
"""

import json
import os
import re
import subprocess
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from punie.training.data.example import Example, Function
from punie.training.errors import TrainingError
from punie.workspace.program_lookup import locate_program

OLD_IDIOMS = ("UP004", "UP006", "UP007", "UP008", "UP010", "UP031", "UP035", "UP036", "UP045")
"""Rules of ruff that find what was right in older versions of Python: `class A(object)`,
`typing.List`, `Union`, `Optional`, `super(A, self)`, imports from `__future__`, `%` formatting,
imports that have moved, blocks for versions that are gone."""

_FENCE = re.compile(r" {0,3}(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[\w+-]*)")
_PYTHON = frozenset({"python", "python3", "py"})


@dataclass(frozen=True)
class CodeFault:
    """What is wrong with a piece of code: the wanted Python cannot read it, or it is old style."""

    kind: Literal["syntax", "idiom"]
    what: str


def python_code(example: Example) -> list[str]:
    """Return the Python code that the assistant writes: in answers, files and code to run."""
    found: list[str] = []
    for message in example.messages:
        if message.role == "assistant":
            found += fenced_python(message.content)
    for call in example.calls:
        found += _code_of_call(call)
    return found


def fenced_python(text: str) -> list[str]:
    """Return what stands in a text's code fences for Python; sessions with prompts are left out."""
    found: list[str] = []
    inside: list[str] | None = None
    closing = ""
    wanted = False
    for line in text.splitlines():
        match = _FENCE.match(line)
        if inside is None:
            if match is not None:
                inside, closing = [], match["fence"]
                wanted = match["language"].lower() in _PYTHON
        elif (
            match is not None
            and line.strip() == match["fence"]
            and match["fence"].startswith(closing)
        ):
            code = textwrap.dedent("\n".join(inside))
            if wanted and code.strip() and not code.lstrip().startswith(">>>"):
                found.append(code + "\n")
            inside = None
        else:
            inside.append(line)
    return found


def _code_of_call(call: Function) -> list[str]:
    arguments = call.arguments
    code, content, path = (arguments.get(name) for name in ("code", "content", "path"))
    if isinstance(code, str):
        return [code]
    if isinstance(content, str) and isinstance(path, str) and path.endswith(".py"):
        return [content]
    return []


def judge_code(
    snippets: Sequence[str], version: str, idioms: Sequence[str]
) -> list[CodeFault | None]:
    """Say of each snippet what is wrong with it; None where nothing is.

    Args:
        snippets: pieces of Python.
        version: the Python that has to read them, such as "3.11".
        idioms: rules of ruff for what is out of date.

    Raises:
        TrainingError: ruff is missing or does not answer.
    """
    if not snippets:
        return []
    ruff = locate_program("ruff", (), os.environ, "trusted")
    if ruff is None:
        raise TrainingError("ruff, which judges Python code, was not found; install Punie again.")
    with tempfile.TemporaryDirectory() as folder:
        for number, snippet in enumerate(snippets):
            file = Path(folder) / f"{number}.py"
            file.write_bytes(snippet.encode("utf-8", "replace"))
        command = [
            *(str(ruff), "check", "--isolated", "--no-cache", "--no-fix", "--exit-zero"),
            *("--ignore-noqa", "--output-format=json", "--config", "exclude = []"),
            f"--target-version=py{version.replace('.', '')}",
            *("--config", f"lint.select = {json.dumps(list(idioms))}"),
            ".",
        ]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, check=False
        )
    try:
        problems = json.loads(done.stdout)
    except ValueError:
        reason = " ".join(done.stderr.decode("utf-8", "replace").split()) or "it said nothing"
        raise TrainingError(f"ruff could not judge the Python code ({reason}).") from None
    verdicts: list[CodeFault | None] = [None] * len(snippets)
    # What cannot be read comes before what is old, and what stands first before the rest.
    for problem in sorted(problems, key=lambda each: _is_syntax(each), reverse=True):
        number = int(Path(problem["filename"]).stem)
        if verdicts[number] is None:
            kind: Literal["syntax", "idiom"] = "syntax" if _is_syntax(problem) else "idiom"
            verdicts[number] = CodeFault(kind, problem["message"])
    return verdicts


def _is_syntax(problem: Mapping[str, Any]) -> bool:
    return problem["code"] in (None, "invalid-syntax")
