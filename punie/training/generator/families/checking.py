"""Tasks with checkers: types, lint, format, tests."""

import re

from punie.training.generator.answers import Call, Teacher, code, failure, joined, with_problems
from punie.training.generator.packages import Package
from punie.training.generator.tasks import Family, Task, TaskMaker

UNUSED = ("os", "json", "re", "math", "sys", "time", "random", "string")


def problems_answer(path: str, result: str) -> str:
    """Say what a checker found."""
    failed = failure(result)
    if failed is not None:
        return failed
    rows = re.findall(r"^.+?:(\d+) (\S+?)(?: warning| info)?: (.+)$", result, re.MULTILINE)
    if not rows:
        return f"No problems in `{path}`."
    shown = [
        f"line {line}: {what.removesuffix(' (fixable)')} ({rule})" for line, rule, what in rows
    ]
    many = "1 problem" if len(rows) == 1 else f"{len(rows)} problems"
    return f"`{path}` has {many}: {'; '.join(shown[:5])}{'; and more' if len(rows) > 5 else ''}."


def _module(maker: TaskMaker) -> str:
    return maker.rng.choice(sorted({constant.path for constant in maker.project.constants}))


def check_types(maker: TaskMaker) -> Task | None:
    """Check the types of a module, which may have an error."""
    if not isinstance(maker.project, Package):
        return None
    path = _module(maker)
    name = maker.names.snake()
    line = f'{name}: int = "{maker.names.word()}"\n'
    wrong = maker.rng.random() < 0.7
    before = {path: f"{maker.project.files[path]}\n\n{line}"} if wrong else {}

    def teacher() -> Teacher:
        result = yield Call("check_types", {"path": path})
        return problems_answer(path, result)

    says = ("1 problem", "invalid-assignment") if wrong else ("No problems",)
    prompt = maker.say("check_types", path=maker.shown(path))
    return Task("check_types", prompt, teacher, before=before, says=says)


def _with_unused(maker: TaskMaker, path: str) -> tuple[str, list[str]]:
    """Return a module's text with one or two imports that nothing uses, and their names."""
    unused = sorted(maker.rng.sample(UNUSED, maker.rng.choice((1, 1, 2))))
    lines = "".join(f"import {name}\n" for name in unused)
    return f"{lines}\n{maker.project.files[path]}", unused


def lint(maker: TaskMaker) -> Task | None:
    """Lint a module, which may import what it does not use."""
    if not isinstance(maker.project, Package):
        return None
    path = _module(maker)
    text, unused = _with_unused(maker, path)
    wrong = maker.rng.random() < 0.7

    def teacher() -> Teacher:
        result = yield Call("lint", {"path": path})
        return problems_answer(path, result)

    says = tuple(f"`{name}` imported but unused" for name in unused)
    return Task(
        "lint",
        maker.say("lint", path=maker.shown(path)),
        teacher,
        before={path: text} if wrong else {},
        says=says if wrong else ("No problems",),
    )


def lint_fix(maker: TaskMaker) -> Task | None:
    """Let the linter fix a module."""
    if not isinstance(maker.project, Package):
        return None
    path = _module(maker)
    text, _ = _with_unused(maker, path)

    def teacher() -> Teacher:
        result = yield Call("lint", {"path": path, "fix": True})
        failed = failure(result)
        if failed is not None:
            return failed
        left = result.partition("left: ")[2]
        return f"Done: `{path}` is fixed, with {left or 'nothing'} left."

    return Task(
        "lint_fix",
        maker.say("lint_fix", path=maker.shown(path)),
        teacher,
        before={path: text},
        # ruff takes the imports away, and leaves the empty line below them.
        wanted={path: f"\n{maker.project.files[path]}"},
    )


def format_file(maker: TaskMaker) -> Task | None:
    """Bring a module into the usual format."""
    if not isinstance(maker.project, Package):
        return None
    constant = maker.rng.choice(maker.project.constants)
    path, text = constant.path, maker.project.files[constant.path]
    crooked = text.replace(
        constant.line, constant.line.replace(" = ", maker.rng.choice(("=", "  =", " =  "))), 1
    )

    def teacher() -> Teacher:
        result = yield Call("format", {"path": path})
        failed = failure(result)
        if failed is not None:
            return failed
        if result.startswith("nothing"):
            return f"`{path}` was formatted already."
        return with_problems(f"Done: `{path}` is formatted.", result)

    return Task(
        "format",
        maker.say("format", path=maker.shown(path)),
        teacher,
        before={path: crooked},
        wanted={path: text},
    )


def failed_tests(result: str) -> list[str]:
    """Return the ids of the tests that failed."""
    return re.findall(r"^(?:FAILED|ERROR) (\S+)", result, re.MULTILINE)


def test_module(maker: TaskMaker) -> Task | None:
    """Run the tests of one module and say which failed."""
    if not isinstance(maker.project, Package):
        return None
    function = maker.rng.choice(maker.project.typed)
    tests = maker.project.test_of(function)
    wrong = maker.rng.random() < 0.5
    text = maker.project.files[function.path]
    broken = text.replace(function.text, function.text.replace(function.line, function.wrong), 1)

    def teacher() -> Teacher:
        result = yield Call("run_tests", {"paths": [tests]})
        failed = failed_tests(result)
        counts = result.partition("\n")[0]
        if failed:
            return f"The tests ran: {counts}. Failed: {joined([code(each) for each in failed])}."
        return failure(result) or f"The tests ran: {counts}."

    says = (f"{tests}::test_{function.name}",) if wrong else (" passed",)
    return Task(
        "test_module",
        maker.say("run_script", path=tests),
        teacher,
        before={function.path: broken} if wrong else {},
        says=says,
    )


FAMILIES: dict[str, Family] = {
    "check_types": check_types,
    "lint": lint,
    "lint_fix": lint_fix,
    "format": format_file,
    "test_module": test_module,
}
