"""Tasks in code mode that need a whole package, with tests: counting, checking and repairing."""

import re

from punie.training.generator.answers import (
    Teacher,
    code,
    failure,
    joined,
    line_count,
    literal,
    run_code,
)
from punie.training.generator.families.checking import UNUSED
from punie.training.generator.packages import Package
from punie.training.generator.tasks import Task, TaskMaker


def count_lines(maker: TaskMaker) -> Task | None:
    """Say how long each file of the package is, and which is the longest."""
    if not isinstance(maker.project, Package):
        return None
    folder = maker.project.name
    lengths = {
        path: len(text.splitlines())
        for path, text in maker.project.files.items()
        if path.startswith(f"{folder}/")
    }
    longest = max(lengths.values())

    def teacher() -> Teacher:
        result = yield run_code(
            f'for path in find_files("*.py", {literal(folder)}):',
            "    print(len(read_file(path).splitlines()), path)",
        )
        found = [(int(n), path) for n, path in re.findall(r"^(\d+) (\S+)$", result, re.MULTILINE)]
        if not found:
            return failure(result) or f"`{folder}` has no Python files."
        most = max(found)
        shown = joined([f"`{path}` {count}" for count, path in found])
        return f"Lines: {shown}. The longest is `{most[1]}` with {line_count(most[0])}."

    says = (
        f"with {line_count(longest)}",
        *(f"`{path}` {count}" for path, count in lengths.items()),
    )
    return Task("count_lines", maker.say("count_lines", path=folder), teacher, 2, says=says)


def count_problems(maker: TaskMaker) -> Task | None:
    """Count the linter's problems by rule, from the fields of its data."""
    if not isinstance(maker.project, Package):
        return None
    folder = maker.project.name
    paths = sorted({constant.path for constant in maker.project.constants})
    before = {}
    count = 0
    for path in maker.rng.sample(paths, maker.rng.randint(1, len(paths))):
        unused = sorted(maker.rng.sample(UNUSED, maker.rng.randint(1, 3)))
        count += len(unused)
        imports = "".join(f"import {name}\n" for name in unused)
        before[path] = f"{imports}\n{maker.project.files[path]}"

    def teacher() -> Teacher:
        result = yield run_code(
            "counts = {}",
            f"for problem in lint({literal(folder)}):",
            '    counts[problem["rule"]] = counts.get(problem["rule"], 0) + 1',
            "for rule, count in sorted(counts.items()):",
            "    print(rule, count)",
        )
        found = re.findall(r"^(\S+) (\d+)$", result, re.MULTILINE)
        if not found:
            return failure(result) or f"No problems in `{folder}`."
        return f"Problems in `{folder}`: {joined([f'{rule} {count}' for rule, count in found])}."

    prompt = maker.say("count_problems", path=folder)
    return Task("count_problems", prompt, teacher, 2, before=before, says=(f"F401 {count}",))


def check_types(maker: TaskMaker) -> Task | None:
    """Check a module's types and say how many errors there are and where, from their fields."""
    if not isinstance(maker.project, Package):
        return None
    path = maker.rng.choice(sorted({constant.path for constant in maker.project.constants}))
    many = maker.rng.randint(0, 3)
    wrong = "".join(
        f'{maker.names.snake()}_{n}: int = "{maker.names.word()}"\n' for n in range(many)
    )
    before = {path: f"{maker.project.files[path]}\n\n{wrong}"} if many else {}

    def teacher() -> Teacher:
        result = yield run_code(
            f"problems = check_types({literal(path)})",
            'print(len(problems), "problems")',
            "for problem in problems:",
            '    print(problem["line"], problem["rule"], problem["message"])',
        )
        count = re.match(r"(\d+) problems", result)
        if count is None:
            return failure(result) or f"`{path}` was not checked."
        if count[1] == "0":
            return f"No problems in `{path}`."
        rows = re.findall(r"^(\d+) (\S+) (.+)$", result.partition("\n")[2], re.MULTILINE)
        shown = "; ".join(f"line {line}: {said} ({rule})" for line, rule, said in rows)
        return f"`{path}` has {count[1]} problem{'' if count[1] == '1' else 's'}: {shown}."

    said = f"has {many} problem{'' if many == 1 else 's'}" if many else "No problems"
    prompt = maker.say("check_types", path=maker.shown(path))
    return Task("check_types", prompt, teacher, 2, before=before, says=(said,))


def references(maker: TaskMaker) -> Task | None:
    """Find the uses of a function, without its definition and imports."""
    if not isinstance(maker.project, Package):
        return None
    function = maker.rng.choice(maker.project.typed)
    users = (*maker.project.uses.get(function.name, ()), maker.project.test_of(function))

    def teacher() -> Teacher:
        result = yield run_code(
            f"for place in references({literal(function.name)}):",
            '    if not place["text"].strip().startswith(("def ", "from ", "import ")):',
            '        print(place["path"], place["line"])',
        )
        found = re.findall(r"^(\S+) (\d+)$", result, re.MULTILINE)
        if not found:
            return failure(result) or f"Nothing uses `{function.name}`."
        shown = joined([f"`{path}` line {line}" for path, line in found])
        return f"`{function.name}` is used in {shown}."

    prompt = maker.say("references", name=function.name)
    return Task("references", prompt, teacher, 2, says=tuple(map(code, users)))


def _counted_tests(paths: str) -> tuple[str, ...]:
    return (
        f"run = run_tests({paths})",
        'print(run["passed"], "passed,", run["failed"], "failed")',
        'for failure in run["failures"]:',
        '    print(failure["id"])',
    )


def fix_tests(maker: TaskMaker) -> Task | None:
    """Run the tests, read what fails, repair it and run them again: only kept if they pass."""
    if not isinstance(maker.project, Package):
        return None
    package = maker.project
    function = maker.rng.choice(package.typed)
    text = package.files[function.path]
    whole = function.text.replace(function.line, function.wrong)
    broken = text.replace(function.text, whole, 1)
    if broken.count(function.wrong) != 1 or broken == text:
        return None

    def teacher() -> Teacher:
        result = yield run_code(*_counted_tests(""))
        failed = re.findall(r"^(\S+)::test_(\w+)$", result, re.MULTILINE)
        if not failed:
            return failure(result) or f"The tests ran: {result.partition(chr(10))[0]}."
        tests, name = failed[0]
        result = yield run_code(
            f"for place in definition({literal(name)}):",
            '    print(place["path"])',
            '    print(read_file(place["path"], place["line"], place["line"] + 9))',
        )
        path = result.partition("\n")[0]
        if function.wrong not in result:
            return failure(result) or f"I see no mistake in `{name}`."
        old, new = literal(function.wrong), literal(function.line)
        result = yield run_code(
            f'edit = {{"old_text": {old}, "new_text": {new}}}',
            f"print(edit_file({literal(path)}, [edit]))",
            *_counted_tests(f"[{literal(tests)}]"),
        )
        counts = re.search(r"^(\d+ passed, 0 failed)$", result, re.MULTILINE)
        if failure(result) is not None or counts is None:
            return failure(result) or f"I changed `{path}`, but tests still fail."
        return (
            f"Fixed: `{name}` in `{path}` now has `{function.line}` in place of "
            f"`{function.wrong}`. The tests ran: {counts[1]}."
        )

    return Task(
        "fix_tests",
        maker.say("fix_tests", name=package.name),
        teacher,
        5,
        before={function.path: broken},
        wanted={function.path: text},
        says=("Fixed", " passed, 0 failed"),
        verified="tests",
    )


def run_tests(maker: TaskMaker) -> Task | None:
    """Run the tests and say which failed, from the fields of the run."""
    if not isinstance(maker.project, Package):
        return None
    function = maker.rng.choice(maker.project.typed)
    wrong = maker.rng.random() < 0.5
    text = maker.project.files[function.path]
    whole = function.text.replace(function.line, function.wrong)
    before = {function.path: text.replace(function.text, whole, 1)} if wrong else {}

    def teacher() -> Teacher:
        result = yield run_code(*_counted_tests(""))
        counts, _, failed = result.partition("\n")
        if failure(result) is not None:
            return failure(result) or ""
        if not failed.strip():
            return f"The tests ran: {counts}."
        return (
            f"The tests ran: {counts}. Failed: {joined([code(each) for each in failed.split()])}."
        )

    says = (f"test_{function.name}`",) if wrong else (", 0 failed",)
    return Task("run_tests", maker.say("run_tests"), teacher, before=before, says=says)
