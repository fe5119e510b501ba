"""Tasks in code mode: one tool, whose code calls the others and uses fields of their data.

What is asked is what is asked where tools are called one by one; only how it is done differs.
"""

import json
import re
from dataclasses import replace

from punie.training.generator.answers import (
    Teacher,
    code,
    failure,
    joined,
    line_count,
    listing_answer,
    literal,
    places_answer,
    run_code,
    with_problems,
)
from punie.training.generator.families import coding_packages
from punie.training.generator.tasks import Family, Task, TaskMaker


def read(maker: TaskMaker) -> Task:
    """Read a file and say how long it is."""
    path = maker.file()
    count = len(maker.project.files[path].splitlines())

    def teacher() -> Teacher:
        result = yield run_code(
            f"text = read_file({literal(path)})",
            'print(len(text.splitlines()), "lines")',
            "print(text)",
        )
        return failure(result) or f"`{path}` has {line_count(result.partition(' ')[0])}."

    prompt = maker.say("read", path=maker.shown(path))
    return Task("read", prompt, teacher, says=(f"`{path}` has {line_count(count)}",))


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
        result = yield run_code(f"print(read_file({literal(wrong)}))")
        if failure(result) is None:
            return f"`{wrong}` is there."
        result = yield run_code(
            f"for path in find_files({literal(name)}):",
            "    text = read_file(path)",
            '    print(len(text.splitlines()), "lines in", path)',
            "    print(text)",
        )
        found = re.match(r"(\d+) lines in (\S+)", result)
        if found is None:
            return failure(result) or f"There is no `{wrong}`, nor another file of that name."
        return f"There is no `{wrong}`, but `{found[2]}` has {line_count(found[1])}."

    says = (f"no `{wrong}`", "nor another" if missing else f"`{path}` has {line_count(count)}")
    return Task("wrong_path", maker.say("read_wrong_path", path=wrong), teacher, 2, says=says)


def list_folder(maker: TaskMaker) -> Task:
    """List a folder."""
    folder = maker.rng.choice(maker.project.folders)

    def teacher() -> Teacher:
        result = yield run_code(f"for name in list_dir({literal(folder)}):", "    print(name)")
        return failure(result) or listing_answer(f"`{folder}`", result)

    return Task("list", maker.say("list", path=maker.shown(folder)), teacher)


def search(maker: TaskMaker) -> Task:
    """Search for a name and say where it is."""
    name = maker.name()

    def teacher() -> Teacher:
        result = yield run_code(
            f"for match in search({literal(name)}):",
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
        result = yield run_code(
            f"for match in search({literal(constant.name + ' =')}):",
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
        result = yield run_code(
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


def definitions(maker: TaskMaker) -> Task:
    """Name what a module defines, from the fields of its symbols."""
    path = maker.rng.choice(maker.project.modules)
    project = maker.project
    names = [name for name, at in (project.functions | project.classes).items() if at == path]

    def teacher() -> Teacher:
        result = yield run_code(
            f"for symbol in symbols({literal(path)}):", '    print(symbol["kind"], symbol["name"])'
        )
        found = re.findall(r"^(?:function|class) (\w+)$", result, re.MULTILINE)
        if not found:
            return failure(result) or f"`{path}` defines no function or class."
        return f"`{path}` defines {joined([code(name) for name in found])}."

    prompt = maker.say("definitions", path=maker.shown(path))
    return Task("definitions", prompt, teacher, 2, says=tuple(map(code, names)))


def run_command(maker: TaskMaker) -> Task | None:
    """Run a script and use the exit code and the output."""
    if not maker.project.scripts:
        return None
    path = maker.rng.choice(maker.project.scripts)

    def teacher() -> Teacher:
        result = yield run_code(
            f"done = run_command({literal('python3 ' + path)})",
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
    "code_count_lines": coding_packages.count_lines,
    "code_count_problems": coding_packages.count_problems,
    "code_check_types": coding_packages.check_types,
    "code_definitions": definitions,
    "code_references": coding_packages.references,
    "code_run": run_command,
    "code_run_tests": coding_packages.run_tests,
    "code_fix_tests": coding_packages.fix_tests,
}

FAMILIES: dict[str, Family] = {name: _in_code(family) for name, family in _FAMILIES.items()}
