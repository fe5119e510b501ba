"""What ruff and ty report, read from their JSON, and how it is told in rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from punie.tools.base import ToolContext, ToolError, ToolResult
from punie.tools.presentation import Location, Presentation
from punie.tools.wording import count, fenced, fitting_rows, one_line
from punie.workspace.base import WorkspaceError
from punie.workspace.lsp.model import Diagnostic
from punie.workspace.secret_files import is_secret_path

_MESSAGE_CHARS = 300
_TRAILER_ROOM = 160
_MAX_LOCATIONS = 20


@dataclass(frozen=True)
class Problem:
    """One report about a file. `line` and `column` are counted from 1; 0 is the file as a whole.

    `fixable` tells that ruff has a safe fix.
    """

    path: Path
    line: int
    column: int
    rule: str
    message: str
    severity: Literal["error", "warning", "info"] = "error"
    fixable: bool = False


class ProblemData(TypedDict):
    """A problem as code gets it."""

    path: str
    line: int
    rule: str
    message: str


class _Place(BaseModel):
    row: int
    column: int


class _Fix(BaseModel):
    applicability: str


class _RuffRow(BaseModel):
    filename: str
    location: _Place | None
    code: str | None
    message: str
    fix: _Fix | None


class _TyPosition(BaseModel):
    line: int
    column: int


class _TyPositions(BaseModel):
    begin: _TyPosition


class _TyLocation(BaseModel):
    path: str
    positions: _TyPositions


class _TyRow(BaseModel):
    check_name: str
    description: str
    severity: str
    location: _TyLocation


_Row = TypeVar("_Row")

_RUFF = TypeAdapter(list[_RuffRow])
_TY = TypeAdapter(list[_TyRow])
_TY_SEVERITIES: dict[str, Literal["error", "warning", "info"]] = {
    "minor": "warning",
    "info": "info",
}


def read_ruff(printed: str, root: Path) -> list[Problem]:
    """Return ruff's problems in its order; raise `ToolError` for what is not its JSON.

    `root` is the folder that ruff ran in.
    """
    return [
        Problem(
            path=_inside(root, row.filename),
            line=0 if row.location is None else row.location.row,
            column=0 if row.location is None else row.location.column,
            rule=row.code or "invalid-syntax",
            message=one_line(row.message, _MESSAGE_CHARS),
            fixable=row.fix is not None and row.fix.applicability == "safe",
        )
        for row in _rows("ruff", _RUFF, printed)
    ]


def read_ty(printed: str, root: Path) -> list[Problem]:
    """Return ty's problems in its order; raise `ToolError` for what is not its JSON.

    `root` is the folder that ty ran in.
    """
    return [
        Problem(
            path=_inside(root, row.location.path),
            line=row.location.positions.begin.line,
            column=row.location.positions.begin.column,
            rule=row.check_name,
            message=one_line(
                row.description.removeprefix(f"{row.check_name}: ").rstrip("."), _MESSAGE_CHARS
            ),
            severity=_TY_SEVERITIES.get(row.severity, "error"),
        )
        for row in _rows("ty", _TY, printed)
    ]


def _rows(program: str, adapter: TypeAdapter[list[_Row]], printed: str) -> list[_Row]:
    try:
        return adapter.validate_json(printed.encode("utf-8", "replace"))
    except ValidationError as error:
        raise ToolError(f"{program} printed something else than its JSON") from error


def of_server(found: Diagnostic) -> Problem:
    """Return what the language server says as ty prints it, which is its message's first line."""
    said = found.message.partition("\n")[0]
    return Problem(
        path=found.place.path,
        line=found.place.line,
        column=found.place.column + 1,
        rule=found.rule,
        message=one_line(said.rstrip("."), _MESSAGE_CHARS),
        severity=found.severity,
    )


def _inside(root: Path, name: str) -> Path:
    """Return a reported path below the root as it was given, which may be a link."""
    path = root / name
    if not path.is_relative_to(root):
        real = root.resolve()
        if path.is_relative_to(real):
            return root / path.relative_to(real)
    return path


def of_the_project(context: ToolContext, problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems of files that may be shown without a question.

    A link in a project may lead to any file, of which a message would tell what is in it.
    """
    known: dict[Path, bool] = {}

    def may_be_shown(path: Path) -> bool:
        try:
            return not is_secret_path(context.workspace.resolve(str(path)))
        except WorkspaceError:
            return False

    kept: list[Problem] = []
    for problem in problems:
        if problem.path not in known:
            known[problem.path] = may_be_shown(problem.path)
        if known[problem.path]:
            kept.append(problem)
    return kept


def row(context: ToolContext, problem: Problem) -> str:
    """Return a problem in one line."""
    place = context.workspace.display(problem.path)
    if problem.line:
        place = f"{place}:{problem.line}"
    severity = "" if problem.severity == "error" else f" {problem.severity}"
    fixable = " (fixable)" if problem.fixable else ""
    return f"{place} {problem.rule}{severity}: {problem.message}{fixable}"


def reported(
    context: ToolContext,
    presentation: Presentation,
    problems: Sequence[Problem] | None,
    room: int,
) -> ToolResult:
    """Return the result of a check, with the rows that fit into `room` characters; None: no files.

    `presentation` is that of the call.
    """
    text = _found_text(context, problems, room)
    found = problems or []
    shown = presentation.model_copy(
        update={
            "title": f"{presentation.title}: {_problem_count(problems)}",
            "locations": _locations(found) or presentation.locations,
            "content": (fenced(text),),
        }
    )
    return ToolResult(text, shown, data=_data(context, found))


def _found_text(context: ToolContext, problems: Sequence[Problem] | None, room: int) -> str:
    if problems is None:
        return "there are no Python files"
    if not problems:
        return "no problems"
    rows = fitting_rows((row(context, each) for each in problems), room - _TRAILER_ROOM)
    if len(rows) < len(problems):
        rows.append(f"(first {len(rows)} of {len(problems)} problems; name a smaller path)")
    return "\n".join(rows)


def _problem_count(problems: Sequence[Problem] | None) -> str:
    if problems is None:
        return "no Python files"
    return count(len(problems), "problem") if problems else "no problems"


def _data(context: ToolContext, problems: Iterable[Problem]) -> JsonValue:
    return [
        {
            "path": context.workspace.display(each.path),
            "line": each.line,
            "rule": each.rule,
            "message": each.message,
        }
        for each in problems
    ]


def _locations(problems: Sequence[Problem]) -> tuple[Location, ...]:
    return tuple(
        Location(path=each.path, line=each.line or None) for each in problems[:_MAX_LOCATIONS]
    )
