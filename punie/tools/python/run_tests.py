"""run_tests: the project's tests by pytest in the project's own Python, told test by test."""

import re
import shlex
from pathlib import Path

from typing_extensions import TypedDict

from punie.tools.base import Returns, Tool, ToolArguments, ToolContext, ToolError, ToolResult
from punie.tools.guards import workspace_errors
from punie.tools.presentation import Location, Presentation
from punie.tools.python.pytest_report import Failure, RunReport, counted, read_report
from punie.tools.subjects import CommandSubject
from punie.tools.wording import cut, fenced, in_backticks, one_line, plain_output, visible
from punie.workspace.base import ProgramRequest, ProgramResult
from punie.workspace.roots import root_of

_LAUNCHER = Path(__file__).parent / "in_project" / "punie_pytest_report.py"
_MESSAGE_CHARS = 800
_OUTPUT_CHARS = 400
_ERROR_CHARS = 500
_NAMES_ROOM = 1_000
_MAX_LOCATIONS = 20
_SLOW_SECONDS = 1.0
_BLOCKED = "the sandbox blocks {}; run_command with unsandboxed=true runs pytest without it"
_BLOCKED_CHARS = 160

_NO_TESTS = 5
_ERROR = re.compile(r"(?:^|: )error: (?!usage)(.+)", re.IGNORECASE)


class RunTestsArguments(ToolArguments):
    """Which tests."""

    paths: list[str] | None = None
    """Files, folders or ids of tests; without them the whole project."""
    failed: bool = False
    """Whether to run only those that failed last time."""


class FailureData(TypedDict):
    """A failed test as code gets it; `line` 0 is unknown."""

    id: str
    path: str
    line: int
    message: str


class RunData(TypedDict):
    """What came of the tests, as code gets it; errors count as failed."""

    passed: int
    failed: int
    skipped: int
    failures: list[FailureData]


def _line(arguments: RunTestsArguments) -> str:
    """Return the command line that a person would type, by which rules judge the call."""
    return shlex.join(["pytest", *(["--lf"] if arguments.failed else []), *_paths(arguments)])


def _paths(arguments: RunTestsArguments) -> list[str]:
    return [path for path in arguments.paths or [] if path != "."]


async def present(context: ToolContext, arguments: RunTestsArguments) -> Presentation:
    """Describe the call; raise `ToolError` for a path outside."""
    places = [path for path, _ in _targets(context, arguments)]
    line = visible(_line(arguments))
    return Presentation(
        title=in_backticks(one_line(line, 120)),
        kind="execute",
        locations=tuple(Location(path=path) for path in places[:_MAX_LOCATIONS]),
        content=(fenced(line, "sh"),),
    )


def _targets(context: ToolContext, arguments: RunTestsArguments) -> list[tuple[Path, str]]:
    """Return the paths and what stands behind them in ids; raise `ToolError` for one outside."""
    found: list[tuple[Path, str]] = []
    for given in _paths(arguments):
        path, separator, rest = given.partition("::")
        with workspace_errors():
            found.append((context.workspace.resolve(path), separator + rest))
    return found


async def run(context: ToolContext, arguments: RunTestsArguments) -> ToolResult:
    """Run the tests; that some fail is a result and no error."""
    presentation = await present(context, arguments)
    targets = _targets(context, arguments)
    roots = context.workspace.roots
    root = root_of(roots, targets[0][0]) if targets else roots[0]
    seconds = context.limits.command_seconds
    with workspace_errors():
        result = await context.workspace.run_program(
            ProgramRequest(
                arguments=(
                    str(await _python(context)),
                    str(_LAUNCHER),
                    "--color=no",
                    *(["--last-failed"] if arguments.failed else []),
                    # Absolute, so that none reads as an option or as a file of options.
                    *(f"{path}{rest}" for path, rest in targets),
                ),
                cwd=root,
                timeout=seconds,
            )
        )
    report = read_report(result.stdout)
    _refuse_no_run(report, result, seconds, root)
    text = _text(report, _ending(report, result, seconds, root), context.limits.result_chars)
    if result.blocked is not None:
        text += f"\n({_BLOCKED.format(one_line(result.blocked, _BLOCKED_CHARS))})"
    places = tuple(
        Location(path=root / failure.trace[-1].path, line=failure.trace[-1].line)
        for failure in report.failures[:_MAX_LOCATIONS]
        if failure.trace
    )
    shown = presentation.model_copy(
        update={
            "title": f"{presentation.title}: {counted(report.counts)}",
            "locations": places or presentation.locations,
            "content": (fenced(text),),
        }
    )
    counts = report.counts
    return ToolResult(
        text,
        shown,
        data={
            "passed": counts["passed"] + counts["xpassed"],
            "failed": counts["failed"] + counts["error"],
            "skipped": counts["skipped"] + counts["xfailed"],
            "failures": [
                {
                    "id": each.id,
                    "path": each.trace[-1].path if each.trace else each.id.partition("::")[0],
                    "line": each.trace[-1].line if each.trace else 0,
                    "message": each.message,
                }
                for each in report.failures
            ],
        },
    )


async def _python(context: ToolContext) -> Path:
    for name in ("python", "python3"):
        found = await context.workspace.find_program(name, "project")
        if found is not None:
            return found
    raise ToolError("there is no Python for this project; make it a virtual environment in .venv")


def _refuse_no_run(report: RunReport, result: ProgramResult, seconds: float, root: Path) -> None:
    """Raise `ToolError` in one sentence if no test was to be run."""
    if report.executable is not None and report.pytest is None:
        raise ToolError(f"pytest is not installed for the project's Python ({report.executable})")
    if report.failures or report.counts or report.running:
        return
    if report.status == _NO_TESTS:
        raise ToolError("there are no tests here")
    if result.timed_out:
        raise ToolError(f"pytest found no test to run in {seconds:g} seconds; name fewer paths")
    if report.status != 0:
        said = _reason(result.stderr, root)
        raise ToolError(f"pytest did not run any test: {said or _died(result)}")


def _reason(stderr: str, root: Path) -> str:
    """Return what pytest gives as its reason on the way out, or the end of what it printed."""
    lines = [line.strip() for line in plain_output(stderr).splitlines() if line.strip()]
    errors = [match[1] for line in lines if (match := _ERROR.search(line))]
    exceptions = [line.removeprefix("E").strip() for line in lines if line.startswith("E  ")]
    said = "; ".join(errors[-2:] or exceptions[:2] or lines[-1:])
    return one_line(said.replace(f"{root}/", ""), _ERROR_CHARS)


def _died(result: ProgramResult) -> str:
    code = result.exit_code
    if code is not None and code > 128:
        return f"Python crashed with signal {code - 128}"
    return f"Python ended with exit code {code}"


def _ending(report: RunReport, result: ProgramResult, seconds: float, root: Path) -> str:
    """Return why the run broke off, "" if it came to its end."""
    during = f" in {report.running[-1]}" if report.running else ""
    if result.timed_out:
        return f"timed out after {seconds:g} s{during}; name fewer tests"
    if result.flooded:
        return f"ended because it printed too much{during}"
    if report.status is None:
        return f"{_died(result)}{during}"
    if report.status not in (0, 1) and not report.failures:
        return f"pytest broke off: {_reason(result.stderr, root)}"
    return ""


def _text(report: RunReport, ending: str, limit: int) -> str:
    head = counted(report.counts)
    name, seconds = report.slowest
    if seconds >= _SLOW_SECONDS:
        head += f"; slowest {name}, {seconds:.1f} s"
    rows = [f"{ending}; {head}" if ending else head]
    room = limit - len(rows[0]) - _NAMES_ROOM
    left = list(report.failures)
    while left and (len(left) == len(report.failures) or len(_block(left[0])) < room):
        block = cut(_block(left.pop(0)), max(room, _MESSAGE_CHARS))
        room -= len(block) + 1
        rows.append(block)
    if left:
        names = "\n".join(each.id for each in left)
        rows.append(f"({len(left)} more failed; run them by name to see why)")
        rows.append(cut(names, _NAMES_ROOM - 100))
    return "\n".join(rows)


def _block(failure: Failure) -> str:
    """Return a failure in lines: which test, where, what, and what it printed."""
    rows = [f"{'FAILED' if failure.outcome == 'failed' else 'ERROR'} {failure.id}"]
    rows += [
        f"  {frame.path}:{frame.line} in {frame.function}: {frame.statement}"
        for frame in failure.trace
    ]
    message = cut(failure.message.strip(), _MESSAGE_CHARS)
    rows += [f"  {line}" for line in message.splitlines()]
    output = failure.output.strip()[-_OUTPUT_CHARS:]
    if output:
        rows += ["  output:", *(f"  | {line}" for line in plain_output(output).splitlines())]
    return "\n".join(rows)


RUN_TESTS = Tool(
    name="run_tests",
    description="Run pytest.",
    arguments=RunTestsArguments,
    effect="execute",
    present=present,
    run=run,
    subject=lambda arguments: CommandSubject(_line(arguments)),
    returns=Returns(RunData, "Run pytest."),
)
