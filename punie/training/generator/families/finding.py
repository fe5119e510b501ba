"""Tasks that look with the tools for code: files by name, uses, signatures, purposes, history."""

import re

from punie.training.generator.answers import Call, Teacher, code, failure, joined, places_answer
from punie.training.generator.packages import Package
from punie.training.generator.tasks import Family, Task, TaskMaker


def find_files(maker: TaskMaker) -> Task:
    """Find a file by its name."""
    path = maker.file()
    name = path.rpartition("/")[2]
    same = sorted(each for each in maker.project.files if name in each.rpartition("/")[2])

    def teacher() -> Teacher:
        result = yield Call("find_files", {"pattern": name})
        failed = failure(result)
        return failed or f"I found {joined([code(each) for each in result.splitlines()])}."

    prompt = maker.say("find_files", name=name)
    return Task("find_files", prompt, teacher, says=tuple(map(code, same)))


def count_uses(maker: TaskMaker) -> Task:
    """Say in how many files a name is, and how often in each."""
    name = maker.name()
    counts = {
        path: sum(name in line for line in text.splitlines())
        for path, text in maker.project.files.items()
        if name in text
    }

    def teacher() -> Teacher:
        result = yield Call("search", {"pattern": name, "counts": True})
        found = re.findall(r"^(.+):(\d+)$", result, re.MULTILINE)
        if not found:
            return failure(result) or f"I found no `{name}`."
        shown = joined([f"`{path}` ({count})" for path, count in found])
        files = "1 file" if len(found) == 1 else f"{len(found)} files"
        return f"`{name}` is in {files}: {shown}."

    says = tuple(f"`{path}` ({count})" for path, count in counts.items())
    return Task("count_uses", maker.say("count_uses", name=name), teacher, 2, says=says)


def references(maker: TaskMaker) -> Task | None:
    """Find the uses of a function."""
    if not isinstance(maker.project, Package):
        return None
    function = maker.rng.choice(maker.project.typed)
    users = (*maker.project.uses.get(function.name, ()), maker.project.test_of(function))

    def teacher() -> Teacher:
        result = yield Call("references", {"symbol": function.name})
        found = re.findall(r"^(.+?):(\d+):(.*)", result, re.MULTILINE)
        uses = [
            f"`{path}` line {line}"
            for path, line, text in found
            if not text.startswith(("def ", "from ", "import "))
        ]
        if not uses:
            return failure(result) or f"Nothing uses `{function.name}`."
        return f"`{function.name}` is used in {joined(uses)}."

    prompt = maker.say("references", name=function.name)
    return Task("references", prompt, teacher, 2, says=tuple(map(code, users)))


def hover(maker: TaskMaker) -> Task | None:
    """Say what a function takes and returns."""
    if not isinstance(maker.project, Package):
        return None
    function = maker.rng.choice(maker.project.typed)
    signature = function.text.partition("\n")[0].removesuffix(":")

    def teacher() -> Teacher:
        result = yield Call("hover", {"symbol": function.name})
        shown = " ".join(result.partition("\n---")[0].split())
        shown = shown.replace("( ", "(").replace(" )", ")")
        return failure(result) or f"It is `{shown}`."

    prompt = maker.say("hover", name=function.name)
    return Task("hover", prompt, teacher, says=(signature,))


def find_pattern(maker: TaskMaker) -> Task | None:
    """Find the calls of a function with their arguments."""
    if not isinstance(maker.project, Package):
        return None
    function = maker.rng.choice(maker.project.typed)

    def teacher() -> Teacher:
        result = yield Call("find_pattern", {"pattern": f"{function.name}(...)"})
        return failure(result) or places_answer(function.name, result)

    prompt = maker.say("find_pattern", name=function.name)
    says = (code(maker.project.test_of(function)),)
    return Task("find_pattern", prompt, teacher, 2, says=says)


def explain(maker: TaskMaker) -> Task | None:
    """Find a function, read it and say what it does."""
    if not isinstance(maker.project, Package):
        return None
    function = maker.rng.choice(maker.project.typed)
    length = function.text.count("\n")

    def teacher() -> Teacher:
        result = yield Call("definition", {"symbol": function.name})
        place = re.match(r"(.+?):(\d+):", result)
        if place is None:
            return failure(result) or f"I found no `{function.name}`."
        first = int(place[2])
        lines = {"start_line": first, "end_line": first + 9}
        result = yield Call("read_file", {"path": place[1]} | lines)
        said = re.search(r'"""(.+?)\.?"""', result)
        if said is None:
            return failure(result) or f"`{function.name}` is in `{place[1]}` and does not say."
        return f"`{function.name}` in `{place[1]}`: {said[1]}."

    assert length < 10
    prompt = maker.say("explain", name=function.name)
    return Task("explain", prompt, teacher, 2, says=(function.does, code(function.path)))


def _changed_file(maker: TaskMaker) -> tuple[str, str, str, str]:
    """Pick a constant's file, and return its path, the line, the new line and the new text."""
    constant = maker.rng.choice(maker.project.constants)
    line = f"{constant.name} = {maker.other_value(constant)}"
    text = maker.project.files[constant.path].replace(constant.line, line, 1)
    return constant.path, constant.line, line, text


def git_status(maker: TaskMaker) -> Task | None:
    """Say what is not committed."""
    if not isinstance(maker.project, Package):
        return None
    path, _, _, text = _changed_file(maker)
    dirty = maker.rng.random() < 0.7
    project = maker.project.name

    def teacher() -> Teacher:
        result = yield Call("git", {"command": "status"})
        changed = re.findall(
            r"^  (modified|new|deleted|untracked)?:? ?(\S+)$", result, re.MULTILINE
        )
        if not changed:
            return failure(result) or "Nothing is changed since the last commit."
        return f"Not committed yet: {joined([code(name) for _, name in changed])}."

    return Task(
        "git_status",
        maker.say("git_status", name=project),
        teacher,
        before={path: text} if dirty else {},
        says=(code(path) if dirty else "Nothing is changed",),
    )


def git_log(maker: TaskMaker) -> Task | None:
    """Say what was committed."""
    if not isinstance(maker.project, Package):
        return None

    def teacher() -> Teacher:
        result = yield Call("git", {"command": "log"})
        found = re.findall(r"^([0-9a-f]{7,}) \S+ (\S+): (.+?)(?: \(.*\))?$", result, re.MULTILINE)
        if not found:
            return failure(result) or "There are no commits."
        shown = joined([f"`{commit}` {subject}" for commit, _, subject in found[:5]])
        many = "1 commit" if len(found) == 1 else f"{len(found)} commits"
        return f"There are {many}, the newest first: {shown}. The last is by {found[0][1]}."

    prompt = maker.say("git_log", name=maker.project.name)
    return Task("git_log", prompt, teacher, says=("2 commits", maker.project.author))


def git_diff(maker: TaskMaker) -> Task | None:
    """Say what was changed in a file."""
    if not isinstance(maker.project, Package):
        return None
    path, old, new, text = _changed_file(maker)

    def teacher() -> Teacher:
        result = yield Call("git", {"command": "diff", "path": path})
        gone = re.findall(r"^-(?!--)(.+)$", result, re.MULTILINE)
        come = re.findall(r"^\+(?!\+\+)(.+)$", result, re.MULTILINE)
        if not (gone or come):
            return failure(result) or f"Nothing is changed in `{path}`."
        return (
            f"In `{path}`, {joined([code(line) for line in gone])} "
            f"became {joined([code(line) for line in come])}."
        )

    prompt = maker.say("git_diff", path=maker.shown(path))
    return Task("git_diff", prompt, teacher, before={path: text}, says=(code(old), code(new)))


FAMILIES: dict[str, Family] = {
    "find_files": find_files,
    "count_uses": count_uses,
    "references": references,
    "hover": hover,
    "find_pattern": find_pattern,
    "explain": explain,
    "git_status": git_status,
    "git_log": git_log,
    "git_diff": git_diff,
}
