"""Tasks in which the first call fails for a natural reason, and the next ones put it right."""

import re

from punie.training.generator.answers import (
    Call,
    Teacher,
    code,
    edit,
    failure,
    joined,
    length_answer,
    outcome_answer,
    with_problems,
)
from punie.training.generator.packages import Package
from punie.training.generator.phrasing import quote
from punie.training.generator.tasks import Family, Task, TaskMaker


def wrong_path(maker: TaskMaker) -> Task | None:
    """Read a file whose folder the user remembers wrongly; now and then there is none at all."""
    path = maker.file()
    folder, _, name = path.rpartition("/")
    if missing := maker.rng.random() < 0.25:
        name = f"{maker.names.snake()}.py"
    others = [each for each in ("src", "lib", "app", *maker.project.folders) if each != folder]
    wrong = f"{maker.rng.choice(others)}/{name}"
    same = [each for each in maker.project.files if name in each.rpartition("/")[2]]
    if wrong in maker.project.files or len(same) != (not missing):
        return None

    def teacher() -> Teacher:
        result = yield Call("read_file", {"path": wrong})
        if failure(result) is None:
            return length_answer(wrong, result)
        result = yield Call("find_files", {"pattern": name})
        found = result.splitlines()[0]
        if failure(result) is not None or not found.endswith(name):
            return f"There is no `{wrong}`, nor another file of that name."
        result = yield Call("read_file", {"path": found})
        return failure(result) or f"There is no `{wrong}`, but {length_answer(found, result)}"

    prompt = maker.say("read_wrong_path", path=wrong)
    says = (f"no `{wrong}`", "nor another" if missing else code(path))
    return Task("wrong_path", prompt, teacher, 2, says=says)


def replace_all(maker: TaskMaker) -> Task | None:
    """Replace a text that occurs more than once: the first edit is refused, then each is named."""
    if not maker.project.constants:
        return None
    constant = maker.rng.choice(maker.project.constants)
    name, old = maker.names.snake(), maker.names.number() + 10_000
    new = old + maker.rng.randint(1, 99)
    lines = [f"{name.upper()}_{part} = {old}" for part in ("LOW", "HIGH")]
    before = maker.project.files[constant.path] + "\n" + "\n".join(lines) + "\n"
    if before.count(str(old)) != 2:
        return None
    path = constant.path

    def teacher() -> Teacher:
        arguments = {"path": path, "edits": [{"old_text": str(old), "new_text": str(new)}]}
        result = yield Call("edit_file", arguments)
        if "did not allow" in result:
            return failure(result) or ""
        if failure(result) is None:
            return f"Done: `{path}` now has `{new}`."
        result = yield Call("read_file", {"path": path})
        found = re.findall(rf"^\d+:(.*\b{old}\b.*)$", result, re.MULTILINE)
        return (yield from edit(path, [(each, each.replace(str(old), str(new))) for each in found]))

    prompt = maker.say(
        "replace",
        path=maker.shown(path),
        old=quote(maker.rng, str(old)),
        new=quote(maker.rng, str(new)),
    )
    wanted = {path: before.replace(str(old), str(new))}
    return Task("replace_all", prompt, teacher, 2, before={path: before}, wanted=wanted)


def near_miss(maker: TaskMaker) -> Task | None:
    """Replace a text that stands there a little differently: the error shows how."""
    if not maker.project.constants:
        return None
    constant = maker.rng.choice(maker.project.constants)
    path, text = constant.path, maker.project.files[constant.path]
    old = constant.line.replace(" = ", maker.rng.choice(("=", " =", "= ")))
    new = f"{constant.name} = {maker.other_value(constant)}"
    if old in text:
        return None

    def teacher() -> Teacher:
        arguments = {"path": path, "edits": [{"old_text": old, "new_text": new}]}
        result = yield Call("edit_file", arguments)
        closest = re.search(r"closest is line \d+:\n\d+:(.+)", result)
        if "did not allow" in result or closest is None:
            return failure(result) or f"Done: `{path}` now has `{new}`."
        return (yield from edit(path, [(closest[1].strip(), new)]))

    prompt = maker.say(
        "replace",
        path=maker.shown(path),
        old=quote(maker.rng, old, always=True),
        new=quote(maker.rng, new, always=True),
    )
    wanted = {path: text.replace(constant.line, new, 1)}
    return Task("near_miss", prompt, teacher, 2, wanted=wanted)


def failing_command(maker: TaskMaker) -> Task | None:
    """Run a script by its name alone: it is not there, but in a folder."""
    if not maker.project.scripts:
        return None
    path = maker.rng.choice(maker.project.scripts)
    name = path.rpartition("/")[2]
    if name in maker.project.files:
        return None

    def teacher() -> Teacher:
        result = yield Call("run_command", {"command": f"python3 {name}"})
        if failure(result) is not None or result.startswith("exit code 0"):
            return failure(result) or outcome_answer(f"python3 {name}", result)
        result = yield Call("find_files", {"pattern": name})
        found = result.splitlines()[0]
        result = yield Call("run_command", {"command": f"python3 {found}"})
        return failure(result) or f"`{name}` is `{found}`. {outcome_answer(found, result)}"

    return Task(
        "failing_command", maker.say("run_script", path=name), teacher, 2, says=(code(path),)
    )


def missing_import(maker: TaskMaker) -> Task | None:
    """Use a module that is not imported: the edit tells of it, and the import is added."""
    if not isinstance(maker.project, Package):
        return None
    constant = maker.rng.choice(maker.project.constants)
    module, use = maker.rng.choice(
        (
            ("math", "math.pi"), ("math", "math.sqrt(2)"), ("sys", "sys.maxsize"),
            ("string", "string.digits"), ("os", "os.sep"), ("string", "string.hexdigits"),
        )
    )  # fmt: skip
    path, text = constant.path, maker.project.files[constant.path]
    line = f"{constant.name} = {use}"

    def teacher() -> Teacher:
        result = yield Call("search", {"pattern": f"{constant.name} =", "path": path})
        match = re.match(r"(.+?):\d+:(\w+ = .+)", result)
        if match is None:
            return f"I found no `{constant.name}` in `{path}`."
        arguments = {"path": path, "edits": [{"old_text": match[2], "new_text": line}]}
        result = yield Call("edit_file", arguments)
        done = f"Done: `{path}` now has {joined([code(line)])}."
        missing = re.search(r"F821: Undefined name `(\w+)`", result)
        if failure(result) is not None or missing is None:
            return failure(result) or with_problems(done, result)
        statement = f"import {missing[1]}"
        result = yield Call("add_import", {"path": path, "statement": statement})
        if failure(result) is not None:
            return f"{done} `{missing[1]}` is not imported there."
        return with_problems(f"{done} I added `{statement}`, which it needs.", result)

    prompt = maker.say("use_module", name=constant.name, path=path, value=use)
    wanted = {path: f"import {module}\n\n{text.replace(constant.line, line, 1)}"}
    return Task("missing_import", prompt, teacher, 3, wanted=wanted)


FAMILIES: dict[str, Family] = {
    "wrong_path": wrong_path,
    "replace_all": replace_all,
    "near_miss": near_miss,
    "failing_command": failing_command,
    "missing_import": missing_import,
}
