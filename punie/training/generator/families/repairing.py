"""Tasks with a bug and a test that shows it; they only count if the tests pass in the end."""

import re

from punie.training.generator.answers import Call, Teacher, failure
from punie.training.generator.families.checking import failed_tests
from punie.training.generator.functions import Function
from punie.training.generator.packages import Package
from punie.training.generator.tasks import Family, Task, TaskMaker


def _repair(function: Function, tests: str) -> Teacher:
    """Find the function, read it, put the line right and run its tests."""
    result = yield Call("definition", {"symbol": function.name})
    place = re.match(r"(.+?):(\d+):", result)
    if place is None:
        return failure(result) or f"I found no `{function.name}`."
    path, first = place[1], int(place[2])
    result = yield Call("read_file", {"path": path, "start_line": first, "end_line": first + 9})
    if function.wrong not in result:
        return failure(result) or f"I see no mistake in `{function.name}`."
    edits = [{"old_text": function.wrong, "new_text": function.line}]
    result = yield Call("edit_file", {"path": path, "edits": edits})
    if failure(result) is not None:
        return failure(result) or ""
    result = yield Call("run_tests", {"paths": [tests]})
    counts = result.partition("\n")[0]
    if failure(result) is not None or failed_tests(result):
        return f"I changed `{path}`, but the tests say: {counts}."
    return (
        f"Fixed: `{function.name}` in `{path}` now has `{function.line}` in place of "
        f"`{function.wrong}`. The tests ran: {counts}."
    )


def _broken(maker: TaskMaker) -> tuple[Package, Function, str] | None:
    """Pick a function and return the text of its module with its mistake."""
    if not isinstance(maker.project, Package):
        return None
    function = maker.rng.choice(maker.project.typed)
    text = maker.project.files[function.path]
    whole = function.text.replace(function.line, function.wrong)
    broken = text.replace(function.text, whole, 1)
    # The mistake must be the only such text, or the edit would not know which.
    if broken.count(function.wrong) != 1 or broken == text:
        return None
    return maker.project, function, broken


def fix_tests(maker: TaskMaker) -> Task | None:
    """The user says that tests fail, not why: run them, then repair what they name."""
    found = _broken(maker)
    if found is None:
        return None
    package, function, broken = found

    def teacher() -> Teacher:
        result = yield Call("run_tests", {})
        failed = failed_tests(result)
        if not failed:
            return failure(result) or f"The tests ran: {result.partition(chr(10))[0]}."
        tests, _, test = failed[0].partition("::")
        named = next((each for each in package.typed if test == f"test_{each.name}"), None)
        if named is None:
            return f"`{failed[0]}` fails, and I do not see why."
        return (yield from _repair(named, tests))

    return Task(
        "fix_tests",
        maker.say("fix_tests", name=package.name),
        teacher,
        5,
        before={function.path: broken},
        wanted={function.path: package.files[function.path]},
        says=("Fixed", " passed"),
        verified="tests",
    )


def fix_function(maker: TaskMaker) -> Task | None:
    """The user names the function that is wrong."""
    found = _broken(maker)
    if found is None:
        return None
    package, function, broken = found

    def teacher() -> Teacher:
        return (yield from _repair(function, package.test_of(function)))

    return Task(
        "fix_function",
        maker.say("fix_function", name=function.name),
        teacher,
        4,
        before={function.path: broken},
        wanted={function.path: package.files[function.path]},
        says=("Fixed", " passed"),
        verified="tests",
    )


FAMILIES: dict[str, Family] = {"fix_tests": fix_tests, "fix_function": fix_function}
