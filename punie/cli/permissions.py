"""`punie permissions`: what is always or never allowed in a project; lists, revokes, adds."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from punie.agent.permissions.listing import rule_line
from punie.agent.permissions.rules import (
    COMMANDS,
    EDITS,
    READS,
    AnyCall,
    Rule,
    RuleError,
    Target,
    parse_command_pattern,
    parse_path_pattern,
)
from punie.agent.permissions.store import Permissions, PermissionsError, RuleBook
from punie.agent.permissions.toml_rules import parse_arguments, rule_table
from punie.cli.help import run_typed, say
from punie.settings import config_dir


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 done, 1 the rules cannot be read or changed, 2 wrong usage."""
    return run_typed(permissions, arguments, "permissions")


def permissions(
    revoke: Annotated[
        list[int] | None, typer.Option(help="Number of a rule to take out; may be repeated.")
    ] = None,
    more: Annotated[
        list[int] | None, typer.Argument(metavar="NUMBER", help="More numbers for --revoke.")
    ] = None,
    allow: Annotated[
        list[str] | None, typer.Option(help='Allow this from now on, as in "pytest *".')
    ] = None,
    deny: Annotated[
        list[str] | None, typer.Option(help='Never allow this, as in "git push *".')
    ] = None,
    tool: Annotated[
        str,
        typer.Option(
            help="What --allow and --deny are about: commands (run_command), changes of files "
            '(edit), reading them (read), or the name of a tool with its arguments as JSON or "*" '
            "for all."
        ),
    ] = COMMANDS,
    project: Annotated[Path, typer.Option(help="Folder of the project.")] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print the rules as JSON.")] = False,
    path: Annotated[bool, typer.Option("--path", help="Print where the rules are kept.")] = False,
) -> None:
    """List the permission rules of this folder's project, numbered; or revoke or add some.

    Deny wins over allow. What is kept is a file to read and edit; --path says where.
    """
    store = Permissions(config_dir(), _folder(project))
    if more and not revoke:
        raise _wrong("numbers only follow --revoke.")
    if sum(map(bool, (revoke, allow or deny, path))) > 1:
        raise _wrong("--revoke, --path and --allow or --deny exclude each other.")
    try:
        if path:
            print(store.path)
        elif revoke:
            numbers = [*revoke, *(more or ())]
            _check_numbers(numbers, store.read())
            for rule in store.revoke(numbers):
                print(f"Revoked: {rule_line(rule)}.")
        elif allow or deny:
            rules = [*_rules("allow", allow, tool), *_rules("deny", deny, tool)]
            store.add(rules)
            for rule in rules:
                print(f"Stored: {rule_line(rule)}.")
        else:
            _show(store, store.read(), as_json=as_json)
    except PermissionsError as error:
        say(str(error))
        raise typer.Exit(1) from None


def _wrong(sentence: str) -> typer.Exit:
    say(sentence)
    return typer.Exit(2)


def _folder(project: Path) -> Path:
    folder = Path.cwd() / project.expanduser()
    if not folder.is_dir():
        raise _wrong(f"there is no folder {folder}.")
    return folder


def _check_numbers(numbers: Sequence[int], book: RuleBook) -> None:
    for number in numbers:
        if not 1 <= number <= len(book.own):
            there = f"there are 1 to {len(book.own)}" if book.own else "there are none"
            raise _wrong(f"there is no rule {number}; {there}.")


def _rules(
    decision: Literal["allow", "deny"], values: Sequence[str] | None, tool: str
) -> list[Rule]:
    rules = []
    for value in values or ():
        try:
            rules.append(Rule(decision, tool, _target(tool, value)))
        except RuleError as error:
            hint = "" if tool in (EDITS, READS, COMMANDS) else ", or * for any"
            raise _wrong(f"{error}{hint}.") from None
    return rules


def _target(tool: str, value: str) -> Target:
    if tool in (EDITS, READS):
        return parse_path_pattern(value)
    if value.strip() == "*":
        return AnyCall()
    return parse_command_pattern(value) if tool == COMMANDS else parse_arguments(value)


def _show(store: Permissions, book: RuleBook, *, as_json: bool) -> None:
    if as_json:
        rules = [
            *(_as_json(rule, store.path, number) for number, rule in enumerate(book.own, 1)),
            *(_as_json(rule, store.project_path, None) for rule in book.of_project),
        ]
        print(json.dumps(rules, indent=2, ensure_ascii=False))
        return
    if not book.all:
        print(f"There are no rules for {store.project}; the mode alone decides.")
        return
    for number, rule in enumerate(book.own, 1):
        print(f"{number:>3}  {rule_line(rule)}")
    for rule in book.of_project:
        print(f"  -  {rule_line(rule)}  ({store.project_path})")


def _as_json(rule: Rule, file: Path, number: int | None) -> dict[str, Any]:
    return {"number": number, "tool": rule.tool, **rule_table(rule), "file": str(file)}
