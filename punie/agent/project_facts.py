"""What a Python project's own files say about it. Nothing is guessed and nothing is run."""

import configparser
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from punie.workspace.base import Workspace, WorkspaceError

_LOCKS = {"uv.lock": "uv", "poetry.lock": "poetry", "pdm.lock": "pdm", "Pipfile": "pipenv"}
_RUN = {"uv": "uv run ", "poetry": "poetry run ", "pdm": "pdm run ", "pipenv": "pipenv run "}
_INSTALL = {
    "uv": "uv sync",
    "poetry": "poetry install",
    "pdm": "pdm install",
    "pipenv": "pipenv install --dev",
}
_FOLDERS = {
    "tests": "tests",
    "test": "tests",
    "docs": "documentation",
    "doc": "documentation",
    "examples": "examples",
    "scripts": "scripts",
    "benchmarks": "benchmarks",
    "notebooks": "notebooks",
    "migrations": "database migrations",
}
_JOBS = {
    "Tests": ("test", "tests", "check-tests", "pytest", "unit"),
    "Lint": ("lint", "ruff", "flake8", "style"),
    "Format": ("format", "fmt", "black"),
    "Types": ("types", "typecheck", "type-check", "typing", "mypy", "pyright"),
    "All checks": ("check", "checks", "ci", "all-checks", "verify", "pre-commit"),
}
_MOST_FOLDERS = 60
_TARGET = re.compile(r"^([A-Za-z0-9][\w.-]*)\s*:(?![=:])", re.MULTILINE)
_RECIPE = re.compile(r"^@?([a-z][\w-]*)(?:\s+[\w\"'=+*$ -]+)?:(?!=)", re.MULTILINE)
_NOX = re.compile(r"^@(?:nox\.)?session\b.*\n(?:@.*\n)*def\s+(\w+)", re.MULTILINE)
_HOOK = re.compile(r"^\s*-\s+id:\s*[\"']?([\w.-]+)", re.MULTILINE)
_HEADING = re.compile(r"^#\s+(.+?)\s*#*\s*$", re.MULTILINE)
_INDENT = re.compile(r"^\s*indent_size\s*=\s*(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class ProjectFacts:
    """What was found; empty where nothing was.

    `layout` pairs folders with what they hold, `commands` pairs a job with the command for it,
    `entry_points` pairs a command with what it calls, `style` holds short clauses.
    """

    name: str
    description: str = ""
    python: str = ""
    setup: str = ""
    layout: tuple[tuple[str, str], ...] = ()
    commands: tuple[tuple[str, str], ...] = ()
    entry_points: tuple[tuple[str, str], ...] = ()
    style: tuple[str, ...] = ()


async def find_facts(workspace: Workspace) -> ProjectFacts:
    """Read the files at the root that describe a project; raise `WorkspaceError` if none can."""
    root = workspace.roots[0]
    entries = await workspace.list_dir(root)
    files = {entry.name for entry in entries if not entry.is_dir}
    folders = [entry.name for entry in entries if entry.is_dir and entry.name[:1] != "."]
    inside = {name: await _names(workspace, name) for name in folders[:_MOST_FOLDERS]}
    for name in sorted(inside.get("src", ()))[:_MOST_FOLDERS]:
        inside[f"src/{name}"] = await _names(workspace, f"src/{name}")
    texts = {name: await _text(workspace, name) for name in _WANTED if name in files}
    found = _Files(texts, files, inside, _toml(texts.get("pyproject.toml", "")))
    manager = _manager(found)
    return ProjectFacts(
        name=_one_line(found.project.get("name") or _setup_cfg(found, "name") or root.name),
        description=_description(found),
        python=_python(found),
        setup=_setup(found, manager),
        layout=_layout(found),
        commands=_commands(found, manager),
        entry_points=_entry_points(found),
        style=_style(found),
    )


_WANTED = (
    "pyproject.toml",
    "setup.cfg",
    "tox.ini",
    "pytest.ini",
    "Makefile",
    "justfile",
    "noxfile.py",
    ".pre-commit-config.yaml",
    ".python-version",
    ".editorconfig",
    "ruff.toml",
    ".ruff.toml",
    "mypy.ini",
    ".flake8",
    "README.md",
)


@dataclass(frozen=True)
class _Files:
    """The texts that were read, the names at the root, those in its folders, and pyproject.toml."""

    texts: Mapping[str, str]
    names: set[str]
    inside: Mapping[str, set[str]]
    pyproject: Mapping[str, Any]

    @property
    def project(self) -> Mapping[str, Any]:
        """The project's own table, also in the older form of Poetry."""
        return _table(self.pyproject, "project") or _table(self.pyproject, "tool", "poetry")

    def tool(self, name: str) -> Mapping[str, Any]:
        return _table(self.pyproject, "tool", name)

    def has_tool(self, name: str) -> bool:
        return name in _table(self.pyproject, "tool")

    def text(self, name: str) -> str:
        return self.texts.get(name, "")


async def _text(workspace: Workspace, path: str) -> str:
    try:
        return (await workspace.read_text(workspace.resolve(path))).text
    except WorkspaceError:
        return ""


async def _names(workspace: Workspace, path: str) -> set[str]:
    try:
        return {entry.name for entry in await workspace.list_dir(workspace.resolve(path))}
    except WorkspaceError:
        return set()


def _toml(text: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def _table(values: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    for key in keys:
        value = values.get(key)
        if not isinstance(value, dict):
            return {}
        values = value
    return values


def _setup_cfg(found: _Files, key: str, section: str = "metadata") -> str:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(found.text("setup.cfg"))
    except configparser.Error:
        return ""
    return parser.get(section, key, fallback="")


def _one_line(value: object) -> str:
    text = " ".join(str(value).split())
    return "".join(character for character in text if character.isprintable())[:300]


def _description(found: _Files) -> str:
    text = found.project.get("description") or _setup_cfg(found, "description")
    if not text:
        heading = _HEADING.search(found.text("README.md"))
        text = heading[1] if heading else ""
    return _one_line(text)


def _python(found: _Files) -> str:
    poetry = _table(found.pyproject, "tool", "poetry", "dependencies").get("python")
    wanted = (
        found.project.get("requires-python")
        or (poetry if isinstance(poetry, str) else "")
        or _setup_cfg(found, "python_requires", "options")
    )
    if wanted:
        return _one_line(wanted)
    lines = found.text(".python-version").split()
    return _one_line(lines[0]) if lines else ""


def _manager(found: _Files) -> str:
    for lock, manager in _LOCKS.items():
        if lock in found.names:
            return manager
    return next((name for name in ("uv", "poetry", "pdm") if found.has_tool(name)), "")


def _setup(found: _Files, manager: str) -> str:
    if manager:
        return _INSTALL[manager]
    for name in ("requirements-dev.txt", "requirements.txt"):
        if name in found.names:
            return f"pip install -r {name}"
    return "pip install -e ." if {"pyproject.toml", "setup.py"} & found.names else ""


def _layout(found: _Files) -> tuple[tuple[str, str], ...]:
    layout: list[tuple[str, str]] = []
    for folder, names in found.inside.items():
        if folder in _FOLDERS:
            layout.append((f"{folder}/", _FOLDERS[folder]))
        elif "__init__.py" in names:
            layout.append((f"{folder}/", "package"))
    return tuple((_one_line(folder), what) for folder, what in layout)


def _commands(found: _Files, manager: str) -> tuple[tuple[str, str], ...]:
    """Return how each job is done: the project's own name for it first, else its tool."""
    run = _RUN.get(manager, "")
    own = _named_jobs(found, run)
    ruff = found.has_tool("ruff") or bool({"ruff.toml", ".ruff.toml"} & found.names)
    mypy = found.has_tool("mypy") or "mypy.ini" in found.names
    tox = "tox.ini" in found.names or found.has_tool("tox")
    tools = [
        ("Tests", f"{run or 'python -m '}pytest", _uses_pytest(found)),
        ("Tests", f"{run}tox", tox),
        ("Lint", f"{run}ruff check .", ruff),
        ("Format", f"{run}ruff format .", ruff and "format" in found.tool("ruff")),
        ("Format", f"{run}black .", found.has_tool("black")),
        ("Types", f"{run}mypy", mypy),
        ("Types", f"{run}pyright", found.has_tool("pyright")),
        ("Before a commit", "pre-commit run --all-files", _has_hooks(found)),
    ]
    commands: dict[str, str] = {}
    for job, names in _JOBS.items():
        if command := next((own[name] for name in names if name in own), ""):
            commands[job] = command
    for job, command, used in tools:
        if used:
            commands.setdefault(job, command)
    return tuple((job, _one_line(command)) for job, command in commands.items())


def _has_hooks(found: _Files) -> bool:
    return _HOOK.search(found.text(".pre-commit-config.yaml")) is not None


def _named_jobs(found: _Files, run: str) -> dict[str, str]:
    """Return the jobs that the project has given names, with how to start them."""
    jobs: dict[str, str] = {}
    for name in _TARGET.findall(found.text("Makefile")):
        jobs.setdefault(name, f"make {name}")
    for name in _RECIPE.findall(found.text("justfile")):
        jobs.setdefault(name, f"just {name}")
    for name in _NOX.findall(found.text("noxfile.py")):
        jobs.setdefault(name, f"nox -s {name}")
    for table, start in (
        (_table(found.pyproject, "tool", "poe", "tasks"), "poe "),
        (_table(found.pyproject, "tool", "taskipy", "tasks"), "task "),
        (_table(found.pyproject, "tool", "pdm", "scripts"), "pdm run "),
        (_table(found.pyproject, "tool", "hatch", "envs", "default", "scripts"), "hatch run "),
    ):
        for name in table:
            jobs.setdefault(name, f"{'' if start.startswith('pdm') else run}{start}{name}")
    return jobs


def _uses_pytest(found: _Files) -> bool:
    return (
        found.has_tool("pytest")
        or bool({"pytest.ini", "conftest.py"} & found.names)
        or "[tool:pytest]" in found.text("setup.cfg")
        or "[pytest]" in found.text("tox.ini")
        or "pytest" in str(_dependencies(found))
        or any("conftest.py" in found.inside.get(folder, ()) for folder in ("tests", "test"))
    )


def _dependencies(found: _Files) -> list[object]:
    return [
        found.project.get("dependencies"),
        found.project.get("optional-dependencies"),
        found.pyproject.get("dependency-groups"),
        _table(found.pyproject, "tool", "poetry", "group"),
        _table(found.pyproject, "tool", "uv").get("dev-dependencies"),
    ]


def _entry_points(found: _Files) -> tuple[tuple[str, str], ...]:
    scripts = _table(found.project, "scripts")
    points = [(name, target) for name, target in scripts.items() if isinstance(target, str)]
    for line in _setup_cfg(found, "console_scripts", "options.entry_points").splitlines():
        name, separator, target = line.partition("=")
        if separator:
            points.append((name.strip(), target.strip()))
    if "manage.py" in found.names:
        points.append(("python manage.py", "manage.py"))
    for folder, names in found.inside.items():
        if "__main__.py" in names:
            module = folder.removeprefix("src/")
            points.append((f"python -m {module}", f"{folder}/__main__.py"))
    return tuple((_one_line(name), _one_line(target)) for name, target in points)


def _style(found: _Files) -> tuple[str, ...]:
    style: list[str] = []
    ruff = {**_toml(found.text("ruff.toml") or found.text(".ruff.toml")), **found.tool("ruff")}
    for name, settings in (("Ruff", ruff), ("Black", found.tool("black"))):
        length = settings.get("line-length")
        if isinstance(length, int):
            style.append(f"{name}, lines of at most {length} characters")
        elif settings:
            style.append(name)
    quotes = _table(ruff, "format").get("quote-style")
    if quotes == "single":
        style.append("single quotes")
    isort = found.tool("isort").get("profile")
    if isinstance(isort, str):
        style.append(f"isort with the profile {isort}")
    mypy = found.tool("mypy").get("strict") is True or re.search(
        r"^\s*strict\s*=\s*true", found.text("mypy.ini"), re.IGNORECASE | re.MULTILINE
    )
    if mypy:
        style.append("types are checked by mypy in strict mode")
    elif found.tool("pyright").get("typeCheckingMode") == "strict":
        style.append("types are checked by pyright in strict mode")
    indent = _INDENT.search(found.text(".editorconfig"))
    if indent and indent[1] != "4":
        style.append(f"indentation by {indent[1]} as .editorconfig says")
    return tuple(_one_line(clause) for clause in style)
