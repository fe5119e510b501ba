"""What rules say of paths: which files a rule means, and which of them look secret."""

from collections.abc import Iterator, Sequence

from pydantic import JsonValue

from punie.agent.permissions.rules import PathPattern, Rule
from punie.workspace.secret_files import is_secret_path

_LONGEST_PATH = 4_096


def is_below(name: str, rule: Rule) -> bool:
    """Tell whether a deny rule means this file; upper and lower case are one on many disks."""
    if not isinstance(rule.target, PathPattern):
        return False
    name, path = name.casefold(), rule.target.path.casefold()
    if rule.target.folder:
        return not path or name.startswith(f"{path}/")
    return name == path or name.startswith(f"{path}/")


def concerns(name: str, rule: Rule) -> bool:
    """Tell whether a deny rule means this file, or something in it if it is a folder."""
    if not isinstance(rule.target, PathPattern):
        return False
    inside = name == "." or rule.target.path.casefold().startswith(f"{name.casefold()}/")
    return inside or is_below(name, rule)


def hides(name: str, rule: Rule) -> bool:
    """Tell whether a rule against reading means this file, or a folder that shows it.

    What looks secret is left out of what a folder shows, so a rule for it does not hide the folder.
    """
    if not isinstance(rule.target, PathPattern) or is_secret_path(rule.target.path):
        return is_below(name, rule)
    return concerns(name, rule)


def may_read(name: str, allows: Sequence[Rule]) -> bool:
    """Tell whether rules allow a file that looks secret to be read; `name` is as in rules."""
    for rule in allows:
        if not isinstance(rule.target, PathPattern):
            continue
        if name == rule.target.path and not rule.target.folder:
            return True
        below = not rule.target.path or name.startswith(f"{rule.target.path}/")
        if rule.target.folder and below and not name.startswith("/"):
            return True
    return False


def texts_in(value: JsonValue) -> Iterator[str]:
    """Yield each text among the arguments that could be a path."""
    match value:
        case str():
            if 0 < len(value) < _LONGEST_PATH:
                yield value.removeprefix("file://").replace("\\", "/")
        case list():
            for each in value:
                yield from texts_in(each)
        case dict():
            for each in value.values():
                yield from texts_in(each)
        case _:
            pass
