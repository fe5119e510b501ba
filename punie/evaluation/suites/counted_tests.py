"""Running pytest so that what a program prints does not count: pytest's own count of tests does.

Code under test can print what pytest would, and end the process with success. So the tests run
below a small program that counts what pytest reports to it, and tells that, behind a word that only
it was given, once pytest has come back. A program that changes pytest from within is not found out.
"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import PurePosixPath
from secrets import token_hex

_SHADOWING = sys.stdlib_module_names | {
    *("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "exceptiongroup"),
    *("conftest", "sitecustomize", "usercustomize", "ty"),
}

# The project's folder comes behind all that pytest itself imports.
_PROGRAM = """
import sys
word = sys.stdin.readline().strip()
import pytest
class Count:
    passed = 0
    def pytest_runtest_logreport(self, report):
        self.passed += report.when == "call" and report.passed
count = Count()
sys.path.insert(0, "")
code = pytest.main(sys.argv[1:], plugins=[count])
print(f"\\n{word} {int(code)} {count.passed}", flush=True)
"""


def shadows(path: str) -> bool:
    """Tell whether a file in a project would stand in for what runs its tests.

    Python's own modules do, and those that pytest imports or looks for.
    """
    return PurePosixPath(path).parts[0].removesuffix(".py") in _SHADOWING


class CountedTests:
    """One run of tests: its command for a shell, and what came of it."""

    def __init__(self, python: str, options: Sequence[str]) -> None:
        """`python` has pytest; `options` are what pytest is given."""
        self._word = token_hex(16)
        self.command = (
            f"echo {self._word} | PYTHONSAFEPATH=1 {shlex.quote(python)} -c "
            f"{shlex.quote(_PROGRAM)} {shlex.join(options)}"
        )

    def passed(self, output: str) -> int | None:
        """Return how many tests passed; None if some did not or pytest did not come back."""
        lines = [line.split() for line in output.splitlines() if line.startswith(self._word)]
        if len(lines) != 1 or len(lines[0]) != 3 or lines[0][1] != "0":
            return None
        return int(lines[0][2])

    def without_count(self, output: str) -> str:
        """Return what was printed, without the last line of the program itself."""
        kept = [line for line in output.splitlines() if not line.startswith(self._word)]
        return "\n".join(kept).rstrip()
