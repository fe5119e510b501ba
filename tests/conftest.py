"""What holds for every test."""

import gc
import os
import shutil
import signal
import subprocess
import sysconfig
import tempfile
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes depends on what else the machine does, and says nothing.
settings.register_profile("punie", deadline=None)
settings.load_profile("punie")

# A shell starts its background jobs with interrupts ignored, and children inherit that. Tests send
# interrupts to what they start, so they set the signal back to what a terminal gives.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer to run the tests of `punie acp` by way of the server, all of them."""
    parser.addoption("--shared", action="store_true", help="start agents as `punie acp --shared`")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--shared"):
        from tests.e2e.client import Client

        Client.usual_arguments = ("acp", "--shared")
    config.add_cleanup(_offer_a_python_with_pytest())


def _offer_a_python_with_pytest() -> Callable[[], None]:
    """Put one in front where the user's has no pytest; return what removes it again.

    Projects in tests have their own tests, and Punie keeps its own environment from them.
    """
    python = shutil.which("python3")
    asked = [python or "", "-c", "import pytest"]
    if python and subprocess.run(asked, capture_output=True, check=False).returncode == 0:
        return lambda: None
    folder = Path(tempfile.mkdtemp(prefix="punie-tests-python-"))
    venv.EnvBuilder(symlinks=True).create(folder)
    (packages,) = folder.glob("lib/*/site-packages")
    (packages / "tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{folder / 'bin'}{os.pathsep}{before}"

    def remove() -> None:
        os.environ["PATH"] = before
        shutil.rmtree(folder, ignore_errors=True)

    return remove


def pytest_collection_finish() -> None:
    """Take what all tests have imported out of the reach of garbage collection.

    It stays until the end; looking through it again and again would cost a tenth of all the time.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio, the loop that the installed program uses."""
    return "asyncio"


@pytest.fixture(scope="module", autouse=True)
def every_workspace_is_closed() -> Iterator[None]:
    """Demand that the tests of a file leave no sandbox of this process behind.

    Only a workspace that was never closed does; its language server would run on as well.
    """
    before = _sandbox_folders()
    yield
    assert _sandbox_folders() <= before, "a workspace was not closed"


def _sandbox_folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob(f"punie-commands-{os.getpid()}-*"))
