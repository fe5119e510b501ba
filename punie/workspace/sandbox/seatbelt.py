"""Confinement on macOS: a profile for the system's `sandbox-exec`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from punie.workspace.sandbox.view import View


@dataclass(frozen=True)
class Seatbelt:
    """A `sandbox-exec` that works here; with `strict` it knows the operations of other programs.

    These are what would have a program outside do what a command cannot.
    """

    program: str
    strict: bool

    @property
    def name(self) -> str:
        """What the sandbox is, for people."""
        return f"seatbelt ({self.program})"

    @property
    def monitors(self) -> bool:
        """Whether a process of the sandbox waits for the command, which is not to be ended."""
        return False

    @property
    def keeps_caches(self) -> bool:
        """Whether programs find their caches where they are used to."""
        return False

    def temporary(self, view: View) -> Path:
        """Return where a command finds the folder for temporary files."""
        return view.scratch

    def places(self, view: View) -> tuple[Path, ...]:
        """Return the folders that are made for a while where the view has nothing."""
        return ()

    def wrap(self, arguments: Sequence[str], cwd: Path, view: View) -> list[str]:
        """Return the command line that runs this one confined."""
        return [self.program, "-p", profile(view, strict=self.strict), *arguments]


def profile(view: View, *, strict: bool) -> str:
    """Return the profile; where several rules speak of an operation the last one counts."""
    return "\n".join(_rules(view, strict=strict)) + "\n"


def _rules(view: View, *, strict: bool) -> Iterable[str]:
    yield "(version 1)"
    yield "(allow default)"
    if strict:
        yield "(deny appleevent-send)"
        yield "(deny job-creation)"
        yield "(deny lsopen)"
    yield "(deny file-write*)"
    yield '(allow file-write* (literal "/dev/null") (literal "/dev/zero") (regex #"^/dev/tty"))'
    for path in (view.scratch, *view.writable):
        yield f"(allow file-write* (subpath {_quoted(path)}))"
    for path in (*view.guarded, *view.absent):
        yield f"(deny file-write* (subpath {_quoted(path)}))"
        if path.parent.name == ".git":
            # Not moved away with all that is in it, either.
            yield f"(deny file-write-unlink (literal {_quoted(path.parent)}))"
    for path in view.hidden:
        yield f"(deny file-read* file-write* (subpath {_quoted(path)}))"
    if not view.network:
        yield "(deny network*)"
        yield '(allow network* (local ip "localhost:*"))'
        yield '(allow network-outbound (remote ip "localhost:*"))'
        scratch = f"unix-socket (subpath {_quoted(view.scratch)})"
        yield f"(allow network-bind (local {scratch}))"
        yield f"(allow network-outbound (remote {scratch}))"


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
