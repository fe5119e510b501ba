"""Tasks that change files as they are told: replace, set, rename, create."""

import re

from punie.training.generator.answers import Call, Teacher, edit, failure, with_problems
from punie.training.generator.phrasing import quote
from punie.training.generator.tasks import Family, Task, TaskMaker


def _replaced(text: str, edits: list[tuple[str, str]]) -> str | None:
    """Return the text with the replacements made, None if one of them does not apply."""
    for old, new in edits:
        if text.count(old) != 1:
            return None
        text = text.replace(old, new)
    return text


def replace(maker: TaskMaker) -> Task | None:
    """Replace a given text in a given file."""
    path = maker.file()
    old, new = maker.replacement(path)
    changed = _replaced(maker.project.files[path], [(old, new)])

    def teacher() -> Teacher:
        return (yield from edit(path, [(old, new)]))

    always = maker.rng.random() < 0.5
    prompt = maker.say(
        "replace",
        path=maker.shown(path),
        old=quote(maker.rng, old, always=always),
        new=quote(maker.rng, new, always=always),
    )
    wanted = {} if changed is None else {path: changed}
    return Task("replace", prompt, teacher, wanted=wanted)


def replace_two(maker: TaskMaker) -> Task | None:
    """Make two replacements in one call."""
    path = maker.file()
    (old, new), (old2, new2) = maker.replacement(path), maker.replacement(path)
    changed = _replaced(maker.project.files[path], [(old, new), (old2, new2)])
    if changed is None or old in old2 or old2 in old or old in new2 or old2 in new:
        return None

    def teacher() -> Teacher:
        return (yield from edit(path, [(old, new), (old2, new2)]))

    texts: dict[str, str] = {"old": old, "new": new, "old2": old2, "new2": new2}
    shown = {key: quote(maker.rng, text, always=True) for key, text in texts.items()}
    prompt = maker.say(
        "replace_two",
        path=path,
        old=shown["old"],
        new=shown["new"],
        old2=shown["old2"],
        new2=shown["new2"],
    )
    return Task("replace", prompt, teacher, wanted={path: changed})


def set_in(maker: TaskMaker) -> Task | None:
    """Set a constant in a named file: read, then edit the line that is there."""
    if not maker.project.constants:
        return None
    constant = maker.rng.choice(maker.project.constants)
    value = maker.other_value(constant)
    line = f"{constant.name} = {value}"

    def teacher() -> Teacher:
        result = yield Call("read_file", {"path": constant.path})
        match = re.search(rf"^\d+:({constant.name} = .+)$", result, re.MULTILINE)
        if match is None:
            return f"I found no `{constant.name}` in `{constant.path}`."
        return (yield from edit(constant.path, [(match[1], line)]))

    prompt = maker.say("set_in", name=constant.name, path=maker.shown(constant.path), value=value)
    changed = _replaced(maker.project.files[constant.path], [(constant.line, line)])
    return Task("set_in", prompt, teacher, 2, wanted={constant.path: changed})


def set_constant(maker: TaskMaker) -> Task | None:
    """Find a constant, then set it."""
    if not maker.project.constants:
        return None
    constant = maker.rng.choice(maker.project.constants)
    value = maker.other_value(constant)
    line = f"{constant.name} = {value}"

    def teacher() -> Teacher:
        result = yield Call("search", {"pattern": f"{constant.name} ="})
        match = re.match(r"(.+?):\d+:(\w+ = .+)", result)
        if match is None:
            return f"I found no `{constant.name}`."
        return (yield from edit(match[1], [(match[2], line)]))

    changed = _replaced(maker.project.files[constant.path], [(constant.line, line)])
    prompt = maker.say("set", name=constant.name, value=value)
    return Task("set", prompt, teacher, 2, wanted={constant.path: changed})


def rename(maker: TaskMaker) -> Task | None:
    """Rename a function in the whole project."""
    if not maker.project.functions:
        return None
    name = maker.rng.choice(sorted(maker.project.functions))
    new = maker.names.snake()
    if any(new in text for text in maker.project.files.values()):
        return None

    def teacher() -> Teacher:
        result = yield Call("rename_symbol", {"symbol": name, "new_name": new})
        failed = failure(result)
        if failed is not None:
            return failed
        return with_problems(f"Done: `{name}` is now `{new}`.", result)

    word = re.compile(rf"\b{name}\b")
    other = re.compile(rf"\b{name}\b(?!\()")
    if any(other.search(re.sub(r"import .*", "", text)) for text in maker.project.files.values()):
        return None  # A local variable or a word of a text is called the same, and is not renamed.
    changed = {
        path: word.sub(new, text) for path, text in maker.project.files.items() if word.search(text)
    }
    return Task("rename", maker.say("rename", name=name, new=new), teacher, wanted=changed)


def write(maker: TaskMaker) -> Task | None:
    """Create a file with a given text, a function or a constant."""
    folder = maker.rng.choice(["", *maker.project.folders])
    kind = maker.rng.random()
    suffix = ".py" if kind < 0.5 else maker.rng.choice((".txt", ".md", ".txt", ".md", ".py"))
    path = f"{folder}/{maker.names.snake()}{suffix}".lstrip("/")
    if path in maker.project.files:
        return None
    if kind < 0.28:
        name, value = maker.names.snake(), maker.names.number()
        content = f"def {name}():\n    return {value}\n"
        prompt = maker.say("write_function", path=path, name=name, value=value)
    elif kind < 0.5:
        name, value = maker.names.constant(), maker.names.number()
        content = f"{name} = {value}\n"
        prompt = maker.say("write_constant", path=path, name=name, value=value)
    else:
        text = maker.names.phrase(1, 5)
        content = f"{text}\n"
        prompt = maker.say("write", path=path, text=quote(maker.rng, text, always=True))

    def teacher() -> Teacher:
        result = yield Call("write_file", {"path": path, "content": content})
        return failure(result) or with_problems(f"Done: I wrote `{path}`.", result)

    return Task("write", prompt, teacher, wanted={path: content})


FAMILIES: dict[str, Family] = {
    "replace": replace,
    "replace_two": replace_two,
    "set_in": set_in,
    "set": set_constant,
    "rename": rename,
    "write": write,
}
