"""Tasks that look: read, list, search, find what is defined and set."""

import re

from punie.training.generator.answers import (
    Call,
    Teacher,
    code,
    failure,
    joined,
    length_answer,
    listing_answer,
    places_answer,
)
from punie.training.generator.phrasing import quote
from punie.training.generator.tasks import Family, Task, TaskMaker


def read(maker: TaskMaker) -> Task:
    """Read a whole file and say how long it is."""
    path = maker.file()

    def teacher() -> Teacher:
        result = yield Call("read_file", {"path": path})
        return failure(result) or length_answer(path, result)

    lines = maker.project.files[path].count("\n")
    prompt = maker.say("read", path=maker.shown(path))
    return Task("read", prompt, teacher, says=(path, "1 line." if lines == 1 else f"{lines} lines"))


def read_missing(maker: TaskMaker) -> Task | None:
    """Ask for a file that is not there."""
    folder = maker.rng.choice([*maker.project.folders, "src"])
    path = f"{folder}/{maker.names.snake()}.py"
    if path in maker.project.files:
        return None

    def teacher() -> Teacher:
        result = yield Call("read_file", {"path": path})
        return length_answer(path, result) if failure(result) is None else f"There is no `{path}`."

    return Task("read_missing", maker.say("read", path=path), teacher, says=(f"no `{path}`",))


def read_range(maker: TaskMaker) -> Task:
    """Read some lines of a file."""
    path = maker.file()
    count = maker.project.files[path].count("\n")
    start = maker.rng.randint(1, max(1, count - 1))
    end = maker.rng.randint(start + 1, max(start + 1, min(count, start + 30)))

    def teacher() -> Teacher:
        result = yield Call("read_file", {"path": path, "start_line": start, "end_line": end})
        return failure(result) or f"These are lines {start} to {end} of `{path}`."

    prompt = maker.say("read_range", path=maker.shown(path), start=start, end=end)
    return Task("read_range", prompt, teacher)


def definitions(maker: TaskMaker) -> Task:
    """Name what a module defines."""
    path = maker.rng.choice(maker.project.modules)
    project = maker.project
    names = [name for name, at in (project.functions | project.classes).items() if at == path]

    def teacher() -> Teacher:
        result = yield Call("symbols", {"path": path})
        found = re.findall(r"^\d+:(?:def|class) (\w+)", result, re.MULTILINE)
        if not found:
            return f"`{path}` defines no function or class."
        return f"`{path}` defines {joined([code(name) for name in found])}."

    prompt = maker.say("definitions", path=maker.shown(path))
    return Task("definitions", prompt, teacher, 2, says=tuple(code(name) for name in names))


def list_folder(maker: TaskMaker) -> Task | None:
    """List one folder."""
    if not maker.project.folders:
        return None
    folder = maker.rng.choice(maker.project.folders)
    shown = folder + ("/" if maker.rng.random() < 0.2 else "")

    def teacher() -> Teacher:
        result = yield Call("list_dir", {"path": folder})
        return failure(result) or listing_answer(f"`{folder}`", result)

    return Task("list", maker.say("list", path=maker.shown(shown)), teacher)


def list_root(maker: TaskMaker) -> Task:
    """List the project's root."""

    def teacher() -> Teacher:
        result = yield Call("list_dir", {"path": "."})
        return failure(result) or listing_answer("The project", result)

    return Task("list", maker.say("list_root"), teacher)


def search(maker: TaskMaker) -> Task:
    """Search for a name and say where it is."""
    name = maker.name() if maker.rng.random() < 0.85 else maker.names.snake()
    inside = maker.project.folders and maker.rng.random() < 0.3
    folder = maker.rng.choice(maker.project.folders) if inside else None
    arguments = {"pattern": name} | ({"path": folder} if folder else {})
    shown = quote(maker.rng, name) if maker.rng.random() < 0.3 else name

    def teacher() -> Teacher:
        result = yield Call("search", arguments)
        return failure(result) or places_answer(name, result)

    if folder:
        prompt = maker.say("search_in", name=shown, folder=folder)
    else:
        prompt = maker.say("search", name=shown)
    return Task("search", prompt, teacher, 2, says=(code(name),))


def defined(maker: TaskMaker) -> Task | None:
    """Find the file that defines a function or class."""
    project = maker.project
    if not (project.functions or project.classes):
        return None
    name = maker.rng.choice([*project.functions, *project.classes])
    path = (project.functions | project.classes)[name]

    def teacher() -> Teacher:
        result = yield Call("definition", {"symbol": name})
        match = re.match(r"(.+?):(\d+):", result)
        if match is None or failure(result):
            return f"I found no definition of `{name}`."
        return f"`{name}` is defined in `{match[1]}` on line {match[2]}."

    label = ("class " if name in project.classes else "function ") + name
    if name in project.functions and maker.rng.random() < 0.6:
        label = name
    return Task("defined", maker.say("defined", name=label), teacher, 2, says=(code(path),))


def not_defined(maker: TaskMaker) -> Task | None:
    """Ask for the definition of a name that the project does not have."""
    name = maker.names.snake()
    if any(name in text for text in maker.project.files.values()):
        return None

    def teacher() -> Teacher:
        result = yield Call("definition", {"symbol": name})
        if failure(result) is None:
            return f"I found `{name}`."
        return f"I found no definition of `{name}`."

    says = (f"no definition of `{name}`",)
    return Task("not_defined", maker.say("defined", name=name), teacher, 2, says=says)


def value(maker: TaskMaker) -> Task | None:
    """Look up a constant anywhere in the project."""
    if not maker.project.constants:
        return None
    constant = maker.rng.choice(maker.project.constants)

    def teacher() -> Teacher:
        result = yield Call("search", {"pattern": f"{constant.name} ="})
        match = re.match(r"(.+?):\d+:\w+ = (.+)", result)
        if match is None:
            return f"I found no `{constant.name}`."
        return f"`{constant.name}` is {match[2]} in `{match[1]}`."

    says = (f"is {constant.value} in `{constant.path}`",)
    return Task("value", maker.say("value", name=constant.name), teacher, 2, says=says)


def value_in(maker: TaskMaker) -> Task | None:
    """Look up a constant in a named file."""
    if not maker.project.constants:
        return None
    constant = maker.rng.choice(maker.project.constants)

    def teacher() -> Teacher:
        result = yield Call("read_file", {"path": constant.path})
        match = re.search(rf"^\d+:{constant.name} = (.+)$", result, re.MULTILINE)
        if match is None:
            return f"I found no `{constant.name}`."
        return f"`{constant.name}` is {match[1]} in `{constant.path}`."

    prompt = maker.say("value_in", name=constant.name, path=maker.shown(constant.path))
    says = (f"is {constant.value} in `{constant.path}`",)
    return Task("value_in", prompt, teacher, 2, says=says)


FAMILIES: dict[str, Family] = {
    "read": read,
    "read_missing": read_missing,
    "read_range": read_range,
    "definitions": definitions,
    "list": list_folder,
    "list_root": list_root,
    "search": search,
    "defined": defined,
    "not_defined": not_defined,
    "value": value,
    "value_in": value_in,
}
