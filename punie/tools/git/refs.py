"""Names of commits as a model gives them, made into object ids that no option can hide in."""

import difflib
from dataclasses import dataclass

from punie.tools.base import ToolContext, ToolError
from punie.tools.git.repository import Repository, ask_git, run_git
from punie.tools.wording import one_line

_SHOWN_CHARS = 80


@dataclass(frozen=True)
class Commit:
    """One commit, by its full object id."""

    id: str


@dataclass(frozen=True)
class CommitRange:
    """`first..last`, or with `symmetric` `first...last`, as git means them."""

    first: str
    last: str
    symmetric: bool = False

    def __str__(self) -> str:
        return f"{self.first}{'...' if self.symmetric else '..'}{self.last}"


async def resolve_ref(
    context: ToolContext, repository: Repository, ref: str
) -> Commit | CommitRange:
    """Return what a name or a range of commits stands for; raise `ToolError` if it is none."""
    for dots in ("...", ".."):
        first, found, last = ref.partition(dots)
        if found:
            return CommitRange(
                await _commit(context, repository, first or "HEAD"),
                await _commit(context, repository, last or "HEAD"),
                symmetric=dots == "...",
            )
    return Commit(await _commit(context, repository, ref))


async def resolve_commit(context: ToolContext, repository: Repository, ref: str) -> str:
    """Return the object id of one commit; raise `ToolError` for a range or an unknown name."""
    resolved = await resolve_ref(context, repository, ref)
    if isinstance(resolved, CommitRange):
        raise ToolError(f"{_shown(ref)} is a range; name one commit, or use diff or log")
    return resolved.id


async def is_empty(context: ToolContext, repository: Repository) -> bool:
    """Tell whether there is no commit yet."""
    head = await run_git(context, repository, ["rev-parse", "--verify", "--quiet", "HEAD"])
    return head.exit_code != 0


async def _commit(context: ToolContext, repository: Repository, name: str) -> str:
    if name.startswith("-") or not name.isprintable():
        raise ToolError(f"{_shown(name)} is not the name of a commit, branch or tag")
    found = await run_git(
        context,
        repository,
        ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"],
    )
    if found.exit_code == 0:
        return found.stdout.strip()
    if await is_empty(context, repository):
        raise ToolError("the repository has no commits yet")
    names = await ask_git(
        context,
        repository,
        ["for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags", "refs/remotes"],
    )
    close = difflib.get_close_matches(name, names.split("\n"), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else "log shows which commits there are"
    raise ToolError(f"there is no commit, branch or tag {_shown(name)}; {hint}")


def _shown(ref: str) -> str:
    return f'"{one_line(ref, _SHOWN_CHARS)}"'
