"""Writes docs/tools.md from the tools themselves: python -m punie.agent.tool_page [--check].

What an argument means is said by the string below its field, which no model reads, or else by the
description in its schema.
"""

import argparse
import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from punie.agent.budget import MAX_RESULT_CHARS
from punie.agent.events import Mode
from punie.agent.permissions.judging import Unruled
from punie.agent.policy import Allow, Ask, Deny, decide
from punie.tools.base import AnyTool, Effect, ToolLimits
from punie.tools.catalog import ALL_TOOLS, TOOL_GROUPS
from punie.tools.code.annotations import Annotations
from punie.tools.code.functions import Function, library
from punie.tools.parameters import argument_schema
from punie.tools.web_fetch import WEB_FETCH

PAGE = Path(__file__).parents[2] / "docs" / "tools.md"
COMMAND = "python -m punie.agent.tool_page"

_EFFECTS: Mapping[Effect, str] = {
    "read": "looks",
    "edit": "changes files",
    "execute": "runs a process",
    "external": "acts elsewhere",
}
_SUBJECTS: Mapping[Effect, str] = {
    "read": "Files that may [hold secrets](secrets.md) are asked about.",
    "edit": "Rules name the files.",
    "execute": "Rules name the command.",
    "external": "Rules name what it acts on.",
}
_SPOKEN: Mapping[type, str] = {Allow: "runs", Ask: "asks you", Deny: "refused"}

_HEAD = """\
# The tools

<!-- Made of the code by `{command}`; what you write here is lost. -->

Everything that a model can do, in the order in which it is told, with the words that it reads. What
the tools promise is in [coding-tools.md](coding-tools.md); modes and rules are explained in
[permissions.md](permissions.md).

What a call needs hangs on what it does. Where no rule speaks of it:

{modes}

A rule of yours may let a call run that would be asked about, and forbid any. Where nothing else
stands below, it names the tool, with these arguments or with any. What runs a process runs in the
[sandbox](sandbox.md); where none works, `auto` asks as well.

**In every result** a model reads at most {chars:,} characters (`result_chars`), and less where its
window is small: about a quarter of it. What is left out is told, with the call that gets it. A
command may take {seconds:g} seconds (`command_timeout`).

**In code mode** the tools are functions, with the signatures that stand here; see
[code-mode.md](code-mode.md). The tools of MCP servers come after these, and where there are
[skills](context.md), a tool `skill` that reads them.{types}
"""


def page() -> str:
    """Return docs/tools.md as the code has it now."""
    groups: dict[str, Sequence[AnyTool]] = {
        **TOOL_GROUPS,
        "The web, if you switch it on": (WEB_FETCH,),
    }
    code = library((*ALL_TOOLS, WEB_FETCH))
    functions = {function.tool.name: function for function in code.functions}
    head = _HEAD.format(
        command=COMMAND,
        modes=_modes(),
        chars=min(MAX_RESULT_CHARS, ToolLimits().result_chars),
        seconds=ToolLimits().command_seconds,
        types="\n\n```text\n{}\n```".format("\n".join(code.classes)) if code.classes else "",
    )
    parts = [head]
    for name, tools in groups.items():
        parts.append(f"## {name}\n")
        parts.extend(_section(tool, functions[tool.name]) for tool in tools)
    return "\n".join(parts)


def arguments(tool: AnyTool) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, type, default and meaning of each argument, of those in lists and objects too."""
    yield from _fields(tool.arguments, argument_schema(tool.arguments), "")


def main() -> int:
    """Write the page, or with --check only tell whether it is up to date."""
    parser = argparse.ArgumentParser(description="Write docs/tools.md.")
    parser.add_argument("--check", action="store_true", help="only tell whether it is up to date")
    check = parser.parse_args().check
    wanted = page()
    if not check:
        PAGE.write_text(wanted, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != wanted:
        print(f"{PAGE} is not up to date; run {COMMAND}", file=sys.stderr)
        return 1
    return 0


def _modes() -> str:
    modes: tuple[Mode, ...] = get_args(Mode)
    rows = [["a call that", *(f"`{mode}`" for mode in modes)], ["---"] * (len(modes) + 1)]
    for effect, does in _EFFECTS.items():
        decisions = (decide(mode, effect, Unruled()) for mode in modes)
        rows.append([does, *(_SPOKEN[type(decision)] for decision in decisions)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _section(tool: AnyTool, function: Function) -> str:
    lines = [f"### {tool.name}", "", f"> {tool.description}", ""]
    rows = [*arguments(tool)]
    if rows:
        lines += ["| argument | type | default | meaning |", "| --- | --- | --- | --- |"]
        lines += [
            f"| `{name}` | {kind} | {default} | {said} |" for name, kind, default, said in rows
        ]
        lines.append("")
    lines.append(f"- A call {_EFFECTS[tool.effect]}{', or does less' if tool.effect_of else ''}.")
    if tool.subject is not None:
        lines.append(f"- {_SUBJECTS[tool.effect]}")
    lines += [f"- {remark}" for remark in tool.remarks]
    code = f"- In code: `{function.signature}`"
    if tool.returns is not None:
        code += f". {tool.returns.description}"
    return "\n".join([*lines, code, ""])


def _fields(
    model: type[BaseModel], schema: Mapping[str, Any], inside: str
) -> Iterator[tuple[str, str, str, str]]:
    said = _meanings(model)
    for key, field in model.model_fields.items():
        shape = schema["properties"].get(key)
        if shape is None:
            continue  # Accepted, but models are not told of it.
        default = ""
        if not field.is_required():
            value = field.get_default(call_default_factory=True)
            default = "" if value is None else f"`{_written(value)}`"
            default = default or "none"
        meaning = said.get(key) or str(shape.get("description", ""))
        kind = Annotations().of(shape, key).removesuffix(" | None")
        yield inside + key, f"`{kind}`".replace("|", "\\|"), default, _cell(meaning)
        inner = _model_in(field.annotation)
        if inner is not None:
            at = shape.get("items", shape)
            mark = "[]." if "items" in shape else "."
            yield from _fields(inner, at, f"{inside}{key}{mark}")


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model that a type is or holds, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


@cache
def _meanings(model: type[BaseModel]) -> Mapping[str, str]:
    """Return the strings below the fields of a model, and of those that it inherits from."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if not issubclass(each, BaseModel) or each is BaseModel:
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(each))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, below in zip(body.body, body.body[1:], strict=False):
            match field, below:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    found[name] = text
                case _:
                    pass
    return found


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").removesuffix(".")


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    sys.exit(main())
