"""Tasks in code mode: one tool, whose code calls the others and uses fields of their data.

What is asked is what is asked where tools are called one by one; only how it is done differs.
"""

import json
import re
from dataclasses import replace

from punie.training.generator.answers import (
    Call,
    Teacher,
    code,
    failure,
    joined,
    listing_answer,
    places_answer,
    with_problems,
)
from punie.training.generator.families.checking import UNUSED
from punie.training.generator.packages import Package
from punie.training.generator.tasks import Family, Task, TaskMaker


def _run(*lines: str) -> Call:
    return Call("run_code", {"code": "\n".join(lines)})


def _text(value: str) -> str:
    """Return a string as it stands in code."""
    return json.dumps(value, ensure_ascii=False)


def _lines(count: str | int) -> str:
    return f"{count} line{'' if str(count) == '1' else 's'}"


def read(maker: TaskMaker) -> Task:
    """Read a file and say how long it is."""
    path = maker.file()
    count = len(maker.project.files[path].splitlines())

    def teacher() -> Teacher:
        result = yield _run(
            f"text = read_file({_text(path)})",
            'print(len(text.splitlines()), "lines")',
            "print(text)",
        )
        return failure(result) or f"`{path}` has {_lines(result.partition(' ')[0])}."

    prompt = maker.say("read", path=maker.shown(path))
    return Task("read", prompt, teacher, says=(f"`{path}` has {_lines(count)}",))


def wrong_path(maker: TaskMaker) -> Task | None:
    """Read a file whose folder the user remembers wrongly: the code fails, and is put right.

    Now and then there is no such file at all.
    """
    path = maker.file()
    folder, _, name = path.rpartition("/")
    if missing := maker.rng.random() < 0.25:
        name = f"{maker.names.snake()}.py"
    others = [each for each in ("src", "lib", "app", *maker.project.folders) if each != folder]
    wrong = f"{maker.rng.choice(others)}/{name}"
    same = [each for each in maker.project.files if name in each.rpartition("/")[2]]
    if wrong in maker.project.files or len(same) != (not missing):
        return None
    count = len(maker.project.files[path].splitlines())

    def teacher() -> Teacher:
        result = yield _run(f"print(read_file({_text(wrong)}))")
        if failure(result) is None:
            return f"`{wrong}` is there."
        result = yield _run(
            f"for path in find_files({_text(name)}):",
            "    text = read_file(path)",
            '    print(len(text.splitlines()), "lines in", path)',
            "    print(text)",
        )
        found = re.match(r"(\d+) lines in (\S+)", result)
        if found is None:
            return failure(result) or f"There is no `{wrong}`, nor another file of that name."
        return f"There is no `{wrong}`, but `{found[2]}` has {_lines(found[1])}."

    says = (f"no `{wrong}`", "nor another" if missing else f"`{path}` has {_lines(count)}")
    return Task("wrong_path", maker.say("read_wrong_path", path=wrong), teacher, 2, says=says)


def list_folder(maker: TaskMaker) -> Task:
    """List a folder."""
    folder = maker.rng.choice(maker.project.folders)

    def teacher() -> Teacher:
        result = yield _run(f"for name in list_dir({_text(folder)}):", "    print(name)")
        return failure(result) or listing_answer(f"`{folder}`", result)

    return Task("list", maker.say("list", path=maker.shown(folder)), teacher)


def search(maker: TaskMaker) -> Task:
    """Search for a name and say where it is."""
    name = maker.name()

    def teacher() -> Teacher:
        result = yield _run(
            f"for match in search({_text(name)}):",
            '    print(match["path"] + ":" + str(match["line"]) + ":" + match["text"])',
        )
        return failure(result) or places_answer(name, result)

    return Task("search", maker.say("search", name=name), teacher, 2, says=(code(name),))


def value(maker: TaskMaker) -> Task | None:
    """Look a constant up."""
    if not maker.project.constants:
        return None
    constant = maker.rng.choice(maker.project.constants)

    def teacher() -> Teacher:
        result = yield _run(
            f"for match in search({_text(constant.name + ' =')}):",
            '    print(match["path"], match["text"])',
        )
        found = re.match(r"(\S+) \w+ = (.+)", result)
        if found is None:
            return failure(result) or f"I found no `{constant.name}`."
        return f"`{constant.name}` is {found[2]} in `{found[1]}`."

    says = (f"is {constant.value} in `{constant.path}`",)
    return Task("value", maker.say("value", name=constant.name), teacher, 2, says=says)


def set_many(maker: TaskMaker) -> Task | None:
    """Set one constant or several in a loop over what a search found."""
    constants = [each for each in maker.project.constants if not each.value.startswith('"')]
    if not constants:
        return None
    chosen = maker.rng.sample(constants, min(len(constants), maker.rng.randint(1, 3)))
    value = str(maker.names.number() + 10_000)
    files: dict[str, str] = {}
    for constant in chosen:
        text = files.get(constant.path, maker.project.files[constant.path])
        files[constant.path] = text.replace(constant.line, f"{constant.name} = {value}", 1)
    names = [constant.name for constant in chosen]

    def teacher() -> Teacher:
        result = yield _run(
            f"for name in {json.dumps(names)}:",
            '    for match in search(name + " ="):',
            f'        edit = {{"old_text": match["text"], "new_text": name + " = {value}"}}',
            '        print(name, match["path"], edit_file(match["path"], [edit]))',
        )
        found = re.findall(r"^(\w+) (\S+) edited", result, re.MULTILINE)
        if not found:
            return failure(result) or f"I found no {joined([code(name) for name in names])}."
        shown = joined([f"`{name}` in `{path}`" for name, path in found])
        return with_problems(
            f"Done: {shown} {'is' if len(found) == 1 else 'are'} now {value}.", result
        )

    if len(chosen) == 1:
        prompt = maker.say("set", name=names[0], value=value)
    else:
        prompt = maker.say("set_many", names=joined(names), value=value)
    return Task("set_many", prompt, teacher, 2, wanted=files)


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
        result = yield _run(
            f'for path in find_files("*.py", {_text(folder)}):',
            "    print(len(read_file(path).splitlines()), path)",
        )
        found = [(int(n), path) for n, path in re.findall(r"^(\d+) (\S+)$", result, re.MULTILINE)]
        if not found:
            return failure(result) or f"`{folder}` has no Python files."
        most = max(found)
        shown = joined([f"`{path}` {count}" for count, path in found])
        return f"Lines: {shown}. The longest is `{most[1]}` with {_lines(most[0])}."

    says = (f"with {_lines(longest)}", *(f"`{path}` {count}" for path, count in lengths.items()))
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
        result = yield _run(
            "counts = {}",
            f"for problem in lint({_text(folder)}):",
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
        result = yield _run(
            f"problems = check_types({_text(path)})",
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


def definitions(maker: TaskMaker) -> Task:
    """Name what a module defines, from the fields of its symbols."""
    path = maker.rng.choice(maker.project.modules)
    project = maker.project
    names = [name for name, at in (project.functions | project.classes).items() if at == path]

    def teacher() -> Teacher:
        result = yield _run(
            f"for symbol in symbols({_text(path)}):", '    print(symbol["kind"], symbol["name"])'
        )
        found = re.findall(r"^(?:function|class) (\w+)$", result, re.MULTILINE)
        if not found:
            return failure(result) or f"`{path}` defines no function or class."
        return f"`{path}` defines {joined([code(name) for name in found])}."

    prompt = maker.say("definitions", path=maker.shown(path))
    return Task("definitions", prompt, teacher, 2, says=tuple(map(code, names)))


def references(maker: TaskMaker) -> Task | None:
    """Find the uses of a function, without its definition and imports."""
    if not isinstance(maker.project, Package):
        return None
    function = maker.rng.choice(maker.project.typed)
    users = (*maker.project.uses.get(function.name, ()), maker.project.test_of(function))

    def teacher() -> Teacher:
        result = yield _run(
            f"for place in references({_text(function.name)}):",
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


def run_command(maker: TaskMaker) -> Task | None:
    """Run a script and use the exit code and the output."""
    if not maker.project.scripts:
        return None
    path = maker.rng.choice(maker.project.scripts)

    def teacher() -> Teacher:
        result = yield _run(
            f"done = run_command({_text('python3 ' + path)})",
            'print(done["exit_code"])',
            'print(done["output"])',
        )
        failed = failure(result)
        if failed is not None:
            return failed
        exit_code, _, output = result.partition("\n")
        last = output.strip().splitlines()[-1] if output.strip() else ""
        if exit_code != "0":
            return f"It failed with exit code {exit_code}" + (f": {last}" if last else ".")
        return f"It printed: {last}" if last else f"Done: `{path}` printed nothing."

    prompt = maker.say("run_script", path=maker.shown(path))
    return Task("run", prompt, teacher, says=("It printed: ",))


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
        result = yield _run(*_counted_tests(""))
        failed = re.findall(r"^(\S+)::test_(\w+)$", result, re.MULTILINE)
        if not failed:
            return failure(result) or f"The tests ran: {result.partition(chr(10))[0]}."
        tests, name = failed[0]
        result = yield _run(
            f"for place in definition({_text(name)}):",
            '    print(place["path"])',
            '    print(read_file(place["path"], place["line"], place["line"] + 9))',
        )
        path = result.partition("\n")[0]
        if function.wrong not in result:
            return failure(result) or f"I see no mistake in `{name}`."
        result = yield _run(
            f'edit = {{"old_text": {_text(function.wrong)}, "new_text": {_text(function.line)}}}',
            f"print(edit_file({_text(path)}, [edit]))",
            *_counted_tests(f"[{_text(tests)}]"),
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
        result = yield _run(*_counted_tests(""))
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


def _in_code(family: Family) -> Family:
    def make(maker: TaskMaker) -> Task | None:
        task = family(maker)
        return None if task is None else replace(task, code=True)

    return make


_FAMILIES: dict[str, Family] = {
    "code_read": read,
    "code_wrong_path": wrong_path,
    "code_list": list_folder,
    "code_search": search,
    "code_value": value,
    "code_set": set_many,
    "code_count_lines": count_lines,
    "code_count_problems": count_problems,
    "code_check_types": check_types,
    "code_definitions": definitions,
    "code_references": references,
    "code_run": run_command,
    "code_run_tests": run_tests,
    "code_fix_tests": fix_tests,
}

FAMILIES: dict[str, Family] = {name: _in_code(family) for name, family in _FAMILIES.items()}
