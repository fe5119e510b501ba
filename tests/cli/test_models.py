"""`punie models`: real processes of the installed program against a hub on loopback."""

import hashlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.cli.hub_server import COMMIT, Hub, serve_hub
from tests.models.families import build_family

MODEL = "some-org/Small-Coder"
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_family(tmp_path_factory.mktemp("published") / "small", "qwen3", "strip")


@pytest.fixture
def hub(published: Path) -> Iterator[Hub]:
    hub = Hub()
    hub.add(MODEL, published)
    with serve_hub(hub):
        yield hub


@pytest.fixture
def online(punie: Command, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return the command with a cache of its own and the hub on loopback."""
    punie.extra |= {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
    }
    for name in ("HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return punie


def folder(tmp_path: Path) -> Path:
    return tmp_path / "hf" / "hub" / "models--some-org--Small-Coder"


def snapshot(tmp_path: Path) -> Path:
    return folder(tmp_path) / "snapshots" / COMMIT


def refused(done: "subprocess.CompletedProcess[str]") -> str:
    """Return the one sentence of a command that was refused."""
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("punie: ")
    assert "Traceback" not in line
    assert line.endswith(".")
    return line.removeprefix("punie: ")


def listed(punie: Command) -> dict[str, Any]:
    done = punie("models", "list", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return {row["id"]: row for row in json.loads(done.stdout)}


def test_pull_use_info_and_rm(online: Command, hub: Hub, published: Path, tmp_path: Path) -> None:
    assert MODEL not in listed(online)
    done = online("models", "pull", MODEL)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{MODEL} is complete. It needs about" in done.stdout
    # What is not needed was not fetched, and what was is byte for byte the publisher's.
    names = {path.name for path in snapshot(tmp_path).iterdir()}
    assert names == {path.name for path in published.iterdir()}
    for path in snapshot(tmp_path).iterdir():
        assert path.is_symlink()
        assert path.read_bytes() == (published / path.name).read_bytes()
    assert not list(folder(tmp_path).rglob("*.incomplete"))
    assert {file for file, _ in hub.asked} == names
    row = listed(online)[MODEL]
    assert (row["source"], row["in_use"], row["fit"]) == ("hub", False, "fits")

    done = online("models", "use", MODEL)
    assert (done.returncode, done.stderr) == (0, "")
    settings = online.home / "config" / "settings.toml"
    assert settings.read_text() == f'model = "{MODEL}"\n'
    assert listed(online)[MODEL]["in_use"]
    assert f"* {MODEL}\n" in online("models", "list").stdout

    done = online("models", "info", MODEL)
    assert done.returncode == 0
    assert f"{MODEL} (in use)" in done.stdout
    assert "qwen3" in done.stdout
    found = json.loads(online("models", "info", MODEL, "--json").stdout)
    assert (found["architecture"], found["supported"]) == ("qwen3", True)
    assert found["bytes"] == row["bytes"] - _header(published / WEIGHTS)
    assert found["thinking"] == ["off", "on"]
    assert (found["tool_calls"], found["keeps_thoughts"]) == ("xml", False)
    assert found["memory"]["8192"] < found["memory"]["32768"]
    assert found["trouble"] is None

    assert "is in use" in refused(online("models", "rm", MODEL, "--yes"))
    assert online("models", "use", "punie-tiny").returncode == 0
    assert "use --yes" in refused(online("models", "rm", MODEL))
    done = online("models", "rm", MODEL, "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert list((tmp_path / "hf" / "hub").glob("*Small-Coder*")) == []
    assert MODEL not in listed(online)
    assert "is not on this machine" in refused(online("models", "rm", MODEL, "--yes"))


def _header(path: Path) -> int:
    return 8 + int.from_bytes(path.read_bytes()[:8], "little")


def test_huggingface_hub_finds_what_was_pulled(online: Command, tmp_path: Path) -> None:
    online("models", "pull", MODEL)
    code = (
        "from huggingface_hub import hf_hub_download, scan_cache_dir\n"
        f"print(hf_hub_download({MODEL!r}, 'config.json', local_files_only=True))\n"
        "print(scan_cache_dir().warnings)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=online.environment | {"HF_HUB_OFFLINE": "1"},
    )
    assert run.stdout.splitlines() == [str(snapshot(tmp_path) / "config.json"), "[]"]


def test_a_connection_that_breaks_is_taken_up_where_it_was(
    online: Command, hub: Hub, tmp_path: Path
) -> None:
    hub.cut[WEIGHTS] = (100_000, 2)
    done = online("models", "pull", MODEL)
    assert (done.returncode, done.stderr) == (0, "")
    assert hub.asked_for(WEIGHTS) == [None, "bytes=100000-", "bytes=200000-"]
    assert listed(online)[MODEL]["fit"] == "fits"


def test_a_server_that_knows_no_ranges_sends_it_anew(
    online: Command, hub: Hub, published: Path, tmp_path: Path
) -> None:
    hub.cut[WEIGHTS] = (100_000, 1)
    hub.ignores_ranges = True
    done = online("models", "pull", MODEL)
    assert (done.returncode, done.stderr) == (0, "")
    pulled = (snapshot(tmp_path) / WEIGHTS).read_bytes()
    assert pulled == (published / WEIGHTS).read_bytes()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_pull_that_was_stopped_goes_on(
    online: Command, hub: Hub, published: Path, tmp_path: Path, end: signal.Signals
) -> None:
    hub.stall[WEIGHTS] = 150_000
    process = online.start("models", "pull", MODEL)
    try:
        assert hub.stalled.wait(60)
        part = (
            folder(tmp_path)
            / "blobs"
            / (hashlib.sha256((published / WEIGHTS).read_bytes()).hexdigest() + ".incomplete")
        )
        _wait_for_size(part, 100_000)
        process.send_signal(end)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    hub.go_on.set()
    if end is signal.SIGINT:
        assert process.returncode == 130
        assert errors == f"punie: stopped; `punie models pull {MODEL}` goes on from here.\n"
    kept = part.stat().st_size
    assert kept > 0
    assert MODEL not in listed(online)
    shown = online("models", "list").stdout
    assert f"unfinished, {round(kept / 1e6) or 1} MB are there; go on with `punie models" in shown
    hub.asked.clear()
    done = online("models", "pull", MODEL)
    assert (done.returncode, done.stderr) == (0, "")
    assert hub.asked == [(WEIGHTS, f"bytes={kept}-")]
    assert (snapshot(tmp_path) / WEIGHTS).read_bytes() == (published / WEIGHTS).read_bytes()


def _wait_for_size(path: Path, size: int) -> None:
    waited = threading.Event()
    for _ in range(600):
        if path.exists() and path.stat().st_size >= size:
            return
        waited.wait(0.05)
    raise AssertionError(f"{path} did not grow to {size} bytes")


def test_a_file_with_another_checksum_is_thrown_away(
    online: Command, hub: Hub, tmp_path: Path
) -> None:
    hub.lies.add(WEIGHTS)
    sentence = refused(online("models", "pull", MODEL))
    assert f"{WEIGHTS} of {MODEL} arrived damaged" in sentence
    assert MODEL not in listed(online)
    hub.lies.clear()
    assert online("models", "pull", MODEL).returncode == 0


def test_a_small_file_is_checked_too(online: Command, hub: Hub) -> None:
    hub.lies.add("config.json")
    assert "config.json" in refused(online("models", "pull", MODEL))


def test_pulling_again_fetches_only_what_is_damaged(
    online: Command, hub: Hub, published: Path, tmp_path: Path
) -> None:
    online("models", "pull", MODEL)
    hub.asked.clear()
    assert online("models", "pull", MODEL).returncode == 0
    assert hub.asked == []
    weights = (snapshot(tmp_path) / WEIGHTS).resolve()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 0xFF
    weights.write_bytes(content)
    assert online("models", "pull", MODEL).returncode == 0
    assert hub.asked == [(WEIGHTS, None)]
    assert weights.read_bytes() == (published / WEIGHTS).read_bytes()


def test_two_pulls_at_once_are_one(online: Command, hub: Hub) -> None:
    hub.stall[WEIGHTS] = 1_000
    first = online.start("models", "pull", MODEL)
    try:
        assert hub.stalled.wait(60)
        assert "by another process" in refused(online("models", "pull", MODEL))
        hub.go_on.set()
        assert first.wait(60) == 0
    finally:
        first.kill()
        first.communicate()


def test_no_network_afterwards(online: Command, hub: Hub) -> None:
    online("models", "pull", MODEL)
    hub.asked.clear()
    hub.tokens.clear()
    for arguments in (("list",), ("info", MODEL), ("use", MODEL), ("rm", MODEL)):
        online("models", *arguments)
    assert hub.tokens == []


def test_the_bundled_model_need_not_be_pulled(online: Command) -> None:
    done = online("models", "pull", "punie-tiny")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "punie-tiny comes with Punie; there is nothing to download.\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no-org/no-model", "The hub has no model no-org/no-model that is open to you"),
        ("word", "is no repository of the hub"),
        ("a/b/c", "is no repository of the hub"),
        ("../../etc", "is no repository of the hub"),
    ],
)
def test_what_is_no_repository(online: Command, name: str, message: str) -> None:
    assert message in refused(online("models", "pull", name))


def test_a_gated_repository_names_the_page_and_the_token(online: Command, hub: Hub) -> None:
    hub.gated.add(MODEL)
    sentence = refused(online("models", "pull", MODEL))
    assert f"{hub.url}/{MODEL}" in sentence
    assert "HF_TOKEN" in sentence


def test_a_token_is_sent(online: Command, hub: Hub) -> None:
    assert online("models", "pull", MODEL, HF_TOKEN="hf_secret").returncode == 0
    assert set(hub.tokens) == {"Bearer hf_secret"}


def test_trouble_with_the_network_is_one_sentence(online: Command, hub: Hub) -> None:
    assert "HF_HUB_OFFLINE" in refused(online("models", "pull", MODEL, HF_HUB_OFFLINE="1"))
    gone = "http://127.0.0.1:9"
    sentence = refused(online("models", "pull", MODEL, HF_ENDPOINT=gone))
    assert f"The hub at {gone} cannot be reached" in sentence
    hub.status = 500
    assert "answered with an error (500)" in refused(online("models", "pull", MODEL))


def test_what_is_no_model_for_mlx(online: Command, hub: Hub, published: Path) -> None:
    files = hub.repositories[MODEL]
    weights = files.pop(WEIGHTS)
    assert "holds no MLX model (it has no weights" in refused(online("models", "pull", MODEL))
    files[WEIGHTS] = weights
    files["config.json"] = b'{"model_type": "qwen4_exp"}'
    assert "'qwen4_exp'" in refused(online("models", "pull", MODEL))
    assert hub.asked_for(WEIGHTS) == [], "the weights were not fetched for nothing"
    del files["config.json"]
    assert "it has no config.json" in refused(online("models", "pull", MODEL))


def test_a_disk_that_is_full(online: Command, hub: Hub, monkeypatch: Any) -> None:
    from tests.cli import hub_server

    real = hub_server._sibling

    def huge(name: str, content: bytes) -> dict[str, Any]:
        return real(name, content) | ({"size": 1 << 60} if name == WEIGHTS else {})

    monkeypatch.setattr(hub_server, "_sibling", huge)
    sentence = refused(online("models", "pull", MODEL))
    assert "more on the disk" in sentence
    assert "HF_HOME" in sentence
    assert hub.asked == []


def test_a_model_that_is_too_big_is_not_fetched(online: Command, hub: Hub) -> None:
    files = hub.repositories[MODEL]
    config = json.loads(files["config.json"])
    config |= {"num_hidden_layers": 4_000_000, "hidden_size": 1_000_000}
    files["config.json"] = json.dumps(config).encode()
    sentence = refused(online("models", "pull", MODEL))
    assert "choose a smaller model or one of fewer bits, or use --force" in sentence
    assert hub.asked_for(WEIGHTS) == []


def test_use_keeps_the_rest_of_the_settings(
    online: Command, published: Path, tmp_path: Path
) -> None:
    file = online.home / "config" / "settings.toml"
    file.parent.mkdir()
    elsewhere = tmp_path / "dotfiles.toml"
    elsewhere.write_text('# mine\nmode = "plan"  # careful\nmodel = "old/model" # why\n')
    elsewhere.chmod(0o600)
    file.symlink_to(elsewhere)
    done = online("models", "use", str(published))
    assert (done.returncode, done.stderr) == (0, "")
    assert file.is_symlink()
    assert elsewhere.stat().st_mode & 0o777 == 0o600
    assert elsewhere.read_text() == (
        f'# mine\nmode = "plan"  # careful\nmodel = "{published}" # why\n'
    )
    assert [path.name for path in file.parent.iterdir()] == ["settings.toml"]


def test_use_says_what_wins_over_it(online: Command, published: Path) -> None:
    done = online("models", "use", str(published), PUNIE_MODEL="punie-tiny")
    assert done.returncode == 0
    assert "PUNIE_MODEL" in done.stderr
    online("init", "--model", "punie-tiny")
    done = online("models", "use", str(published))
    assert "punie init --model" in done.stderr


def test_use_validates_first(online: Command, published: Path, tmp_path: Path) -> None:
    file = online.home / "config" / "settings.toml"
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in published.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    (broken / WEIGHTS).write_bytes((published / WEIGHTS).read_bytes()[:-1])
    assert "pull or convert" in refused(online("models", "use", str(broken)))
    assert "punie models pull not/here" in refused(online("models", "use", "not/here"))
    (broken / WEIGHTS).write_bytes((published / WEIGHTS).read_bytes())
    (broken / "chat_template.jinja").write_text("{% if")
    assert "chat template cannot be read" in refused(online("models", "use", str(broken)))
    assert not file.exists()
    file.parent.mkdir()
    file.write_text("model = [\n")
    assert "not valid TOML" in refused(online("models", "use", str(published)))
    assert file.read_text() == "model = [\n"


def test_rm_keeps_to_the_cache(online: Command, published: Path, tmp_path: Path) -> None:
    assert "part of Punie" in refused(online("models", "rm", "punie-tiny", "--yes"))
    assert "delete it yourself" in refused(online("models", "rm", str(published), "--yes"))
    for unknown in ("../x", "nope"):
        assert "is not on this machine" in refused(online("models", "rm", unknown, "--yes"))
    assert published.is_dir()
    online("models", "pull", MODEL)
    online("init", "--model", MODEL)
    assert "is in use" in refused(online("models", "rm", MODEL, "--yes"))
    assert snapshot(tmp_path).is_dir()


def test_advice_and_a_missing_model_are_shown(online: Command) -> None:
    file = online.home / "config" / "settings.toml"
    file.parent.mkdir()
    file.write_text('model = "gone/model"\n')
    shown = online("models", "list").stdout
    assert "* gone/model\n    not on this machine" in shown
    assert "  punie models pull mlx-community/" in shown


def test_info_of_what_is_not_whole(online: Command, tmp_path: Path) -> None:
    assert "There is no model directory" in refused(online("models", "info", "/nowhere"))


@pytest.mark.parametrize("arguments", [["nope"], ["pull"], ["rm", "--nope", "x/y"]])
def test_wrong_usage(punie: Command, arguments: list[str]) -> None:
    done = punie("models", *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
