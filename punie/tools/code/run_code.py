"""run_code: Python that calls the other tools as functions."""

import builtins
import difflib
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import Field, ValidationError

from punie.tools.base import (
    AnyTool,
    Tool,
    ToolArguments,
    ToolContext,
    ToolError,
    ToolResult,
)
from punie.tools.code.faults import MODULES, Fault
from punie.tools.code.functions import Function, Library, library
from punie.tools.code.sandbox import (
    Call,
    CodeLimits,
    Finished,
    Output,
    Raised,
    run_sandboxed,
)
from punie.tools.presentation import Presentation, TextContent
from punie.tools.wording import fenced, one_line

DESCRIPTION = """\
Run Python in a sandbox. The functions below are its only way to files and programs; call them \
without await. You read only what it prints, and the value of its last line. A call that fails \
raises RuntimeError; one the user does not allow raises PermissionError, then stop. There is no \
inheritance and no yield; the modules are a few of the standard library, like re and json.

"""
"""What the model reads before the functions."""

_FENCED = re.compile(r"```(?:python|py)?\n(.*)\n```", re.DOTALL)
_TITLE_CHARS = 80
_SKETCH_CHARS = 2_000
_MOST_FAULTS = 5
# Of the memory of a run, as characters: what comes in is there several times for a moment.
_RESULT_SHARE = 16
_NO_OUTPUT = "(no output; print what you want to read)"


class RunCodeArguments(ToolArguments):
    """The code."""

    code: str = Field(description="Python code")


def run_code_tool(tools: Sequence[AnyTool]) -> AnyTool:
    """Return the one tool of code mode, whose code can call these tools."""
    functions = library(tools)

    async def run(context: ToolContext, arguments: RunCodeArguments) -> ToolResult:
        return await _run(context, arguments, functions)

    return Tool(
        name="run_code",
        description=DESCRIPTION + functions.stubs,
        arguments=RunCodeArguments,
        # The sandbox reaches nothing. What the calls do, they ask for themselves.
        effect="read",
        present=present,
        run=run,
        sketch=_sketch,
    )


def _sketch(arguments: Mapping[str, Any]) -> tuple[TextContent, ...]:
    code = arguments.get("code")
    return (fenced(code[-_SKETCH_CHARS:], "python"),) if isinstance(code, str) and code else ()


async def present(context: ToolContext, arguments: RunCodeArguments) -> Presentation:
    """Show the code; raise `ToolError` if there is none."""
    code = _plain(arguments.code)
    if not code:
        raise ToolError("the code is empty")
    title = one_line(code.lstrip("# "), _TITLE_CHARS)
    return Presentation(title=f"Run code: {title}", kind="other", content=(fenced(code, "python"),))


def _plain(code: str) -> str:
    """Return the code without what models put around it: a Markdown fence, an indentation."""
    plain = textwrap.dedent(code).strip("\n").rstrip()
    inside = _FENCED.fullmatch(plain)
    return textwrap.dedent(inside[1]).rstrip() if inside else plain


async def _run(context: ToolContext, arguments: RunCodeArguments, library: Library) -> ToolResult:
    presentation = await present(context, arguments)
    limits = CodeLimits(output=context.limits.result_chars)
    calls = _Calls(context, limits.memory // _RESULT_SHARE)
    functions: dict[str, Call] = {
        function.name: partial(calls.make, function) for function in library.functions
    }
    output = Output(limits.output)
    code = _plain(arguments.code)
    ended = await run_sandboxed(code, functions, library.checked, limits, output)
    if isinstance(ended, Finished):
        text = _shown(output, calls.as_text(ended.value), output.limit)
        shown = (*presentation.content, fenced(text))
        return ToolResult(text, presentation.model_copy(update={"content": shown}))
    said = _sentences(ended[:_MOST_FAULTS], library)
    if output.size:
        said += f"\nprinted before that:\n{_shown(output, '', output.limit // 2)}"
    if calls.changing:
        said += f"\n(done before that and not undone: {', '.join(calls.changing)})"
    raise ToolError(said)


class _Calls:
    """The calls that one run of code makes; `changing` names those that did more than look."""

    def __init__(self, context: ToolContext, room: int) -> None:
        self._context = context
        self._room = room
        self._denied = ""
        self._last: tuple[object, str] = (None, "")
        self.changing: list[str] = []

    def as_text(self, value: object) -> str:
        """Return the code's value as the model reads it: what its last call gave, as text."""
        data, text = self._last
        if value is None or isinstance(value, str):
            return value or ""
        return text if value == data else repr(value)

    async def make(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a call and return what code gets of it; raise `Raised` for a failure.

        After something was denied, code can still look around where nobody has to be asked; it
        cannot try again or try another way.
        """
        tool = function.tool
        try:
            given = function.arguments(args, kwargs)
            # As JSON has it: tuples are lists, and there are no other objects.
            values = json.loads(json.dumps(given, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise Raised(TypeError(str(error))) from None
        if self._denied and _changes(tool, values):
            raise Raised(PermissionError(self._denied))
        outcome = await self._context.call(tool, values, may_ask=not self._denied)
        said = outcome.text.removeprefix("error: ")
        if outcome.denied:
            self._denied = self._denied or said
            raise Raised(PermissionError(said))
        if outcome.failed:
            raise Raised(RuntimeError(said))
        if _changes(tool, values):
            self.changing.append(function.name)
        value = outcome.text if outcome.data is None else outcome.data
        self._last = (value, outcome.text)
        size = len(value) if isinstance(value, str) else len(json.dumps(value))
        if size > self._room:
            raise Raised(MemoryError(f"the result is too large for code: {size} characters"))
        return value


def _changes(tool: AnyTool, values: dict[str, Any]) -> bool:
    """Tell whether a call with these arguments does more than look."""
    if tool.effect_of is None:
        return tool.effect != "read"
    try:
        return tool.effect_with(tool.arguments.model_validate(values)) != "read"
    except ValidationError:
        return True  # It will fail, and nothing hangs on it.


def _shown(output: Output, value: str, limit: int) -> str:
    """Return what was printed and the value below it, in `limit` characters."""
    printed = output.text.rstrip("\n")
    size = output.size
    if value:
        size += len(value)
        printed = f"{printed}\n{value}" if printed else value
    if not printed:
        return _NO_OUTPUT
    if size <= limit:
        return printed
    return f"{printed[:limit]}\n(cut: {limit} of {size} characters; print less)"


def _sentences(faults: Sequence[Fault], library: Library) -> str:
    """Return the faults with their lines, and with what would be right where that is known."""
    said: list[str] = []
    hints: set[str] = set()
    for fault in faults:
        where = "" if fault.line is None else f"line {fault.line}"
        code = f" `{one_line(fault.source, 100)}`" if fault.source else ""
        hint = _hint(fault, library)
        sentence = f"{where}{code}: {fault.message}" if where else fault.message
        said.append(f"{sentence}; {hint}" if hint and hint not in hints else sentence)
        hints.add(hint)
    return "\n".join(said)


def _hint(fault: Fault, library: Library) -> str:
    quoted = fault.message.replace("'", "`").split("`")[1::2]
    signatures = {function.name: function.signature for function in library.functions}
    match fault.rule:
        case "ModuleNotFoundError":
            return f"there are {', '.join(MODULES)}"
        case "invalid-await":
            return "call the functions without await"
        case "unresolved-reference" | "NameError" if quoted:
            close = difflib.get_close_matches(quoted[0], signatures, n=1)
            if close:
                return f"did you mean {signatures[close[0]]}?"
            return "the sandbox has none" if quoted[0] in dir(builtins) else ""
        case (
            "missing-argument"
            | "unknown-argument"
            | "too-many-positional-arguments"
            | "parameter-already-assigned"
            | "invalid-argument-type"
        ):
            called = [name for name in quoted if name in signatures]
            return f"it is {signatures[called[0]]}" if called else ""
        case _:
            return ""
