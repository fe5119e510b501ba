"""Small projects as texts, and what the validators say of them."""

from pathlib import PurePosixPath
from textwrap import dedent

from punie.tools.validators.module import Module
from punie.tools.validators.project import Project
from punie.tools.validators.running import load_validators, module_name


def project_of(files: dict[str, str]) -> Project:
    modules = {}
    for path, text in files.items():
        name, package = module_name(str(PurePosixPath(path)))
        modules[name] = Module(path, name, package, dedent(text).lstrip("\n"))
    return Project(modules)


def found(files: dict[str, str] | str) -> list[str]:
    """Return the issues of our own validators as `path:line rule`, or `line rule` for one text."""
    project = project_of({"a.py": files} if isinstance(files, str) else files)
    validators, _ = load_validators(())
    return [
        f"{issue.line} {issue.rule}"
        if isinstance(files, str)
        else f"{module.path}:{issue.line} {issue.rule}"
        for module in project.modules.values()
        for validator in validators
        for issue in validator.check(module, project)
    ]
