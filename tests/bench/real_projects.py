"""Small packages that many people use, with their own tests, as they were published.

They come from the package index that pip is set up for and are kept unpacked in the temporary
folder, so that only the first run needs the index.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(tempfile.gettempdir()) / "punie-real-projects"
"""Where they are kept."""

_DOWNLOAD_SECONDS = 300
_TEST_SECONDS = 300


@dataclass(frozen=True)
class Package:
    """One package; `source` is the folder from which it is imported, `tests` that of its tests.

    `used_by_pytest` tells that what it exports cannot be renamed without breaking pytest.
    """

    name: str
    version: str
    source: str
    tests: str
    used_by_pytest: bool = False

    @property
    def folder(self) -> str:
        """The name of its unpacked folder."""
        return f"{self.name}-{self.version}"


PACKAGES = (
    Package("cachetools", "5.5.2", "src", "tests"),
    Package("click", "8.1.8", "src", "tests"),
    Package("pluggy", "1.5.0", "src", "testing", used_by_pytest=True),
    Package("toolz", "1.0.0", ".", "toolz"),
    Package("wsproto", "1.2.0", "src", "test"),
)


class NoIndexError(Exception):
    """The packages could not be had; the message says why, in one sentence."""


def package_of(project: Path) -> Package:
    """Return which package an unpacked project is of."""
    return next(package for package in PACKAGES if package.folder == project.name)


def projects(folder: Path = CACHE) -> list[Path]:
    """Return the unpacked projects below `folder`, downloading those that are not there yet.

    Nothing may be changed in them; `copied` gives one to work on. Raises `NoIndexError`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [package for package in PACKAGES if not (folder / package.folder).is_dir()]
    if missing:
        _download(missing, folder)
    return [folder / package.folder for package in PACKAGES]


def copied(project: Path, folder: Path) -> Path:
    """Return a copy of a project below `folder`."""
    return Path(shutil.copytree(project, folder / project.name))


def python_files(project: Path) -> list[Path]:
    """Return the Python files of a project, by path."""
    return sorted(project.rglob("*.py"))


def own_tests(project: Path) -> str:
    """Run a project's own tests and return pytest's last line without the time it took."""
    package = package_of(project)
    path = os.pathsep.join([str(project / package.source), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            # Warnings that newer versions of pytest gave would be errors in some of them.
            *("-o", "filterwarnings=", "-W", "ignore", package.tests),
        ],
        cwd=project,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TEST_SECONDS,
        check=False,
    )
    lines = done.stdout.strip().splitlines() or [done.stderr.strip()]
    return lines[-1].partition(" in ")[0]


def _download(packages: list[Package], folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as archives:
        try:
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                    *("--disable-pip-version-check", "--dest", archives),
                    # Only these, not what builds them: their metadata must be made to be known.
                    *("--no-binary", ",".join(package.name for package in packages)),
                    *(f"{package.name}=={package.version}" for package in packages),
                ],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_DOWNLOAD_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NoIndexError("the package index did not answer in time") from error
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or ["pip gave no reason"]
            raise NoIndexError(f"the package index could not be used: {last[0]}")
        for archive in sorted(Path(archives).glob("*.tar.gz")):
            with tarfile.open(archive) as packed:
                packed.extractall(archives, filter="data")
        for package in packages:
            # Moved as a whole, so that an interrupted run leaves no half of a project.
            (Path(archives) / package.folder).rename(folder / package.folder)


def main() -> int:
    """Print the projects and what their tests say, or why they cannot be had."""
    try:
        found = projects()
    except NoIndexError as error:
        print(f"skipped: {error}")
        return 0
    for project in found:
        print(f"{project.name}: {len(python_files(project))} files, {own_tests(project)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
