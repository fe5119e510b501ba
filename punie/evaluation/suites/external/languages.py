"""How the tests of exercises are run, language by language.

In some tracks all tests but the first are switched off. How they are switched on is as in Aider's
benchmark (`run_unit_tests` and its scripts for C++ and JavaScript).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from punie.evaluation.suites.counted_tests import shadows


@dataclass(frozen=True)
class Language:
    """A language of exercises.

    Attributes:
        name: as Exercism calls the track.
        suffixes: of files that a solution may add.
        command: what runs the tests, for a shell in the exercise's folder; "" for Python, whose
            tests are counted, see `counted_tests`.
        passed: what the output of tests that pass has, for a program that ends itself before any
            test has run ends with success as well.
        programs: what has to be installed.
        fixed: files that tracks list as part of the solution, but that belong to the build.
        switched_off: what marks tests as not to be run, and what takes its place.
        packages: the folder of installed packages that the tests need, such as `node_modules`.
    """

    name: str
    suffixes: tuple[str, ...]
    command: str
    passed: str
    programs: tuple[str, ...] = ()
    fixed: frozenset[str] = frozenset()
    switched_off: tuple[str, str] | None = None
    packages: str = ""

    def may_add(self, path: str) -> bool:
        """Tell whether a solution may bring this file besides those that it was asked for.

        What would change how tests are found or run is not part of a solution.
        """
        found = PurePosixPath(path)
        if found.suffix not in self.suffixes or found.name.startswith("."):
            return False
        return self is not PYTHON or not shadows(path)

    def says_passed(self, output: str) -> bool:
        """Tell whether an output is one of tests that ran and passed."""
        return re.search(self.passed, output) is not None

    def switched_on(self, test: bytes) -> bytes:
        """Return a file of tests with all of them switched on."""
        if self.switched_off is None:
            return test
        pattern, instead = self.switched_off
        return re.sub(pattern, instead, test.decode("utf-8", "replace")).encode()


PYTHON = Language(
    name="python",
    suffixes=(".py",),
    command="",
    passed="",
)
RUST = Language(
    name="rust",
    suffixes=(".rs",),
    command="cargo test --offline --quiet -- --include-ignored",
    passed=r"test result: ok\. [1-9]\d* passed",
    programs=("cargo",),
    fixed=frozenset({"Cargo.toml"}),
)
GO = Language(
    name="go",
    suffixes=(".go",),
    # With what is built of the standard library already, where that can be had in the sandbox.
    command=(
        'c=${XDG_CACHE_HOME:-$HOME/.cache}/go-build; mkdir -p "$c" 2>/dev/null && [ -w "$c" ] '
        "|| c=$PWD/.cache; GOCACHE=$c GOFLAGS=-mod=mod GOPROXY=off go test -v ./..."
    ),
    passed=r"(?m)^\s*--- PASS: ",
    programs=("go",),
)
CPP = Language(
    name="cpp",
    suffixes=(".cpp", ".h", ".hpp"),
    command="cmake -S . -B build -DEXERCISM_RUN_ALL_TESTS=1 && cmake --build build",
    passed=r"All tests passed \([1-9]",
    programs=("cmake", "make", "c++"),
    fixed=frozenset({"CMakeLists.txt"}),
)
JAVASCRIPT = Language(
    name="javascript",
    suffixes=(".js",),
    command="node node_modules/jest/bin/jest.js --ci",
    passed=r"Tests:.*\b[1-9]\d* passed",
    programs=("node",),
    switched_off=(r"\bx(test|it|describe)\b", r"\1"),
    packages="node_modules",
)

_TITLES = {"cpp": "C++", "javascript": "JavaScript"}


def title_of(language: str) -> str:
    """Return how a language is written."""
    return _TITLES.get(language, language.capitalize())


LANGUAGES: Mapping[str, Language] = {
    language.name: language for language in (CPP, GO, JAVASCRIPT, PYTHON, RUST)
}

NOT_RUN: Mapping[str, str] = {
    "java": "Gradle works in a folder of the home folder, which the sandbox lets no test change",
}
"""Languages of Aider's benchmark that are not run, and why."""


def not_run(language: str) -> str:
    """Return why a language of `NOT_RUN` is not run, in a sentence."""
    return f"Exercises in {title_of(language)} are not run: {NOT_RUN[language]}."
