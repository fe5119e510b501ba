"""Tasks that change a project in more ways than one edit: files moved, names and several files."""

import re

from punie.training.generator.answers import Call, Teacher, edit, failure, joined, with_problems
from punie.training.generator.packages import Package
from punie.training.generator.phrasing import quote
from punie.training.generator.tasks import Family, Task, TaskMaker


def move(maker: TaskMaker) -> Task | None:
    """Move a file that nothing imports."""
    path = maker.rng.choice([*maker.project.scripts, "README.md"])
    if path not in maker.project.files:
        return None
    folder = maker.rng.choice([*maker.project.folders, maker.names.word()])
    to = f"{folder}/{maker.names.snake()}.{path.rpartition('.')[2]}"
    if to in maker.project.files:
        return None

    def teacher() -> Teacher:
        result = yield Call("move", {"path": path, "to": to})
        return failure(result) or with_problems(f"Done: `{path}` is now `{to}`.", result)

    prompt = maker.say("move", path=path, to=to)
    return Task("move", prompt, teacher, wanted={path: None, to: maker.project.files[path]})


def delete(maker: TaskMaker) -> Task | None:
    """Delete a file that nothing imports."""
    path = maker.rng.choice([*maker.project.scripts, "README.md"])
    if path not in maker.project.files:
        return None

    def teacher() -> Teacher:
        result = yield Call("delete", {"path": path})
        return failure(result) or f"Done: `{path}` is deleted."

    return Task("delete", maker.say("delete", path=maker.shown(path)), teacher, wanted={path: None})


def add_import(maker: TaskMaker) -> Task | None:
    """Add an import that a line of the module waits for."""
    if not isinstance(maker.project, Package):
        return None
    constant = maker.rng.choice(maker.project.constants)
    module, use = maker.rng.choice(
        (("math", "math.pi"), ("sys", "sys.maxsize"), ("string", "string.digits"), ("os", "os.sep"))
    )
    path = constant.path
    line = f"{constant.name} = {use}"
    before = maker.project.files[path].replace(constant.line, line, 1)
    statement = f"import {module}"

    def teacher() -> Teacher:
        result = yield Call("add_import", {"path": path, "statement": statement})
        return failure(result) or with_problems(f"Done: `{path}` has `{statement}`.", result)

    prompt = maker.say("add_import", path=path, statement=quote(maker.rng, statement, always=True))
    wanted = {path: f"{statement}\n\n{before}"}
    return Task("add_import", prompt, teacher, before={path: before}, wanted=wanted)


def change_in(maker: TaskMaker) -> Task | None:
    """Find a function, read it, change a line in it."""
    if not isinstance(maker.project, Package):
        return None
    function = maker.rng.choice(maker.project.typed)
    text = maker.project.files[function.path]
    if text.count(function.line) != 1:
        return None

    def teacher() -> Teacher:
        result = yield Call("definition", {"symbol": function.name})
        place = re.match(r"(.+?):(\d+):", result)
        if place is None:
            return failure(result) or f"I found no `{function.name}`."
        first = int(place[2])
        lines = {"start_line": first, "end_line": first + 9}
        result = yield Call("read_file", {"path": place[1]} | lines)
        if function.line not in result:
            return f"I found no `{function.line}` in `{function.name}`."
        return (yield from edit(place[1], [(function.line, function.wrong)]))

    prompt = maker.say(
        "change_in",
        name=function.name,
        old=quote(maker.rng, function.line, always=True),
        new=quote(maker.rng, function.wrong, always=True),
    )
    changed = text.replace(function.line, function.wrong)
    return Task("change_in", prompt, teacher, 2, wanted={function.path: changed})


def patch(maker: TaskMaker) -> Task | None:
    """Change a line that two files have, in one patch."""
    if not isinstance(maker.project, Package):
        return None
    paths = sorted({constant.path for constant in maker.project.constants})
    if len(paths) < 2:
        return None
    path, path2 = maker.rng.sample(paths, 2)
    name = maker.names.constant()
    old, new = f"{name} = {maker.names.number()}", f"{name} = {maker.names.number() + 10_000}"
    before = {each: f"{old}\n{maker.project.files[each]}" for each in (path, path2)}
    if any(name in text for text in maker.project.files.values()):
        return None

    def teacher() -> Teacher:
        parts = [f"*** Update File: {each}\n@@\n-{old}\n+{new}\n" for each in (path, path2)]
        text = f"*** Begin Patch\n{''.join(parts)}*** End Patch"
        result = yield Call("apply_patch", {"patch": text})
        said = f"Done: `{path}` and `{path2}` now have `{new}`."
        return failure(result) or with_problems(said, result)

    prompt = maker.say(
        "patch",
        path=path,
        path2=path2,
        old=quote(maker.rng, old, always=True),
        new=quote(maker.rng, new, always=True),
    )
    wanted = {each: text.replace(old, new, 1) for each, text in before.items()}
    return Task("patch", prompt, teacher, before=before, wanted=wanted)


def set_many(maker: TaskMaker) -> Task | None:
    """Set several constants of several files, one after the other."""
    constants = [each for each in maker.project.constants if not each.value.startswith('"')]
    chosen = maker.rng.sample(constants, min(len(constants), 3))
    if len(chosen) < 2:
        return None
    value = str(maker.names.number() + 10_000)
    files: dict[str, str] = {}
    for constant in chosen:
        text = files.get(constant.path, maker.project.files[constant.path])
        files[constant.path] = text.replace(constant.line, f"{constant.name} = {value}", 1)

    def teacher() -> Teacher:
        done: list[str] = []
        for constant in chosen:
            result = yield Call("search", {"pattern": f"{constant.name} ="})
            match = re.match(r"(.+?):\d+:(\w+ = .+)", result)
            if match is None:
                return f"I found no `{constant.name}`."
            edits = [{"old_text": match[2], "new_text": f"{constant.name} = {value}"}]
            result = yield Call("edit_file", {"path": match[1], "edits": edits})
            failed = failure(result)
            if failed is not None:
                return failed
            done.append(f"`{constant.name}` in `{match[1]}`")
        return f"Done: {joined(done)} are now {value}."

    names = joined([constant.name for constant in chosen])
    return Task(
        "set_many", maker.say("set_many", names=names, value=value), teacher, 3, wanted=files
    )


FAMILIES: dict[str, Family] = {
    "move": move,
    "delete": delete,
    "add_import": add_import,
    "change_in": change_in,
    "patch": patch,
    "set_many": set_many,
}
