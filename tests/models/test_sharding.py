"""One model on several machines, which are all this one here, each with its own process."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import anyio.to_thread
import mlx.core as mx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx.utils import tree_map
from mlx_lm.models import qwen3_moe
from mlx_lm.models.cache import KVCache
from mlx_lm.utils import quantize_model

from punie.models.architecture import read_architecture
from punie.models.catalog import (
    BUNDLED_ID,
    ModelUnavailable,
    bundled_directory,
    read_json_object,
    resolve_model,
    weight_bytes,
)
from punie.models.load import bytes_here
from punie.models.mlx.decoding.sampling import Sampling
from punie.models.mlx.engine import Engine
from punie.models.mlx.generation import Decoded, EngineError, Finished, GenerateRequest
from punie.models.mlx.prefixes.layers import Layers, cut, snapshot
from punie.models.mlx.sharding.mirrors import Mirrors
from punie.models.mlx.sharding.model import ShardedModel
from punie.models.options import EngineOptions
from punie.models.sharding import machines as machines_module
from punie.models.sharding.division import check_divisible, share_of
from punie.models.sharding.hosts import CannotShare, read_hosts, ring_addresses
from punie.models.sharding.likeness import model_fingerprint
from punie.models.sharding.machines import Machines
from tests.models.tiny_model import build_model, save_weights
from tests.processes import processes_of

OWN_PROCESS = "PUNIE_TEST_OWN_PROCESS"
HERE = {"ssh": "127.0.0.1", "ips": ["127.0.0.1"]}


def hosts_file(tmp_path: Path, content: object = (HERE, HERE)) -> Path:
    path = tmp_path / "hosts.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def followers_of_this_process() -> set[int]:
    return set(processes_of(f"leader={os.getpid()}"))


# What is checked before anything starts.


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("{", "is not valid JSON; `mlx.distributed_config` writes such files"),
        ("[]", "must list two machines or more, this one first"),
        ([HERE], "must list two machines or more"),
        ({"hosts": "a,b"}, "must list two machines or more"),
        ({"backend": "nccl", "hosts": [HERE, HERE]}, "asks for the backend 'nccl'"),
        ([HERE, {"ips": ["10.0.0.2"]}], 'Machine 2 .* has no name for ssh; give it an "ssh"'),
        ([HERE, {"ssh": "-oProxyCommand=x", "ips": ["10.0.0.2"]}], "Machine 2 .* has no name"),
        ([HERE, {"ssh": "studio"}], r'Machine 2 .* \(studio\) needs "ips"'),
        ([HERE, {"ssh": "studio", "ips": ["studio.local"]}], 'needs "ips": a list of its IP'),
        ([{"ssh": "a", "ips": ["192.0.2.7"]}, HERE], "must be this one, but 192.0.2.7 is no"),
    ],
)
def test_a_host_file_that_cannot_be_used(tmp_path: Path, content: object, fault: str) -> None:
    path = hosts_file(tmp_path, content)
    with pytest.raises(CannotShare, match=fault) as caught:
        read_hosts(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_host_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CannotShare, match="cannot be read: No such file"):
        read_hosts(tmp_path / "hosts.json")


def test_what_mlx_writes_is_understood(tmp_path: Path) -> None:
    other = {"ssh": "studio", "ips": ["10.0.0.2", "10.0.1.2"], "rdma": []}
    content = {"backend": "ring", "envs": [], "hosts": [{**HERE, "rdma": []}, other]}
    first, second = read_hosts(hosts_file(tmp_path, content))
    assert (first.name, second.name) == ("127.0.0.1", "studio")
    assert second.addresses == ("10.0.0.2", "10.0.1.2")
    own, others = ring_addresses((first, second))
    assert own[0].startswith("127.0.0.1:")
    assert others == ["10.0.0.2:32324", "10.0.1.2:32325"]


QWEN: dict[str, Any] = {
    "model_type": "qwen3",
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "hidden_size": 512,
    "intermediate_size": 1024,
}


@pytest.mark.parametrize(
    ("change", "machines", "fault"),
    [
        ({}, 2, None),
        ({}, 4, None),
        ({"model_type": "qwen3_5"}, 2, "of the kind qwen3_5 cannot be shared by machines"),
        ({}, 3, "8 heads and 4 for keys and values, which do not divide among 3"),
        ({}, 8, "which do not divide among 8 machines"),
        ({"intermediate_size": 1023}, 2, "layers are 1023 wide"),
        ({"quantization": {"bits": 4, "group_size": 64}}, 4, None),
        ({"quantization": {"bits": 4, "group_size": 128}, "head_dim": 32}, 4, "are 256 wide"),
        ({"moe_intermediate_size": 96, "quantization": {"bits": 4, "group_size": 64}}, 2, "96 w"),
    ],
)
def test_what_can_be_divided(change: dict[str, Any], machines: int, fault: str | None) -> None:
    config = {**QWEN, **change}
    if fault is None:
        check_divisible(config, machines)
    else:
        with pytest.raises(CannotShare, match=fault):
            check_divisible(config, machines)


def test_a_part_holds_its_share_of_keys_and_values(model_directory: Path) -> None:
    whole = read_architecture(read_json_object(model_directory / "config.json"))
    assert whole is not None
    part = share_of(whole, 2)
    assert part is not None
    assert part.kv_heads * 2 == whole.kv_heads
    assert share_of(None, 2) is None


def test_only_a_part_of_the_weights_counts_here(model_directory: Path) -> None:
    machines = cast(Machines, SimpleNamespace(directory=model_directory, size=2))
    options = EngineOptions(machines=machines)
    assert bytes_here(model_directory, EngineOptions()) == weight_bytes(model_directory)
    assert bytes_here(model_directory, options) == weight_bytes(model_directory) // 2
    assert bytes_here(bundled_directory(), options) == weight_bytes(bundled_directory())


def test_a_model_is_known_by_its_content(model_directory: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    for file in model_directory.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    os.utime(copy / "model.safetensors", (1, 1))
    assert model_fingerprint(copy) == model_fingerprint(model_directory)
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert model_fingerprint(copy) != model_fingerprint(model_directory)


# Which cache a pass goes on with.


class TokensAsKeys:
    """In place of a model: its cache holds the tokens themselves, so that it can be read."""

    layers = (None, None)

    def model(self, tokens: mx.array, layers: Layers) -> mx.array:
        values = tokens[:, None, :, None].astype(mx.float32)
        for layer in layers:
            layer.update_and_fetch(values, values)
        return values

    def lm_head(self, hidden: mx.array) -> mx.array:
        return hidden


class Loopback:
    """In place of other machines: their mirrors here."""

    def __init__(self) -> None:
        self.mirrors = Mirrors(TokensAsKeys())

    def send(self, message: dict[str, Any]) -> None:
        self.mirrors.feed(json.loads(json.dumps(message)))


def held(layers: Layers) -> list[int]:
    layer = layers[0]
    if layer.keys is None:
        return []
    tokens: list[int] = layer.keys[0, 0, : layer.offset, 0].astype(mx.int32).tolist()
    return tokens


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["new", "feed", "feed", "feed", "copy", "cut", "drop"]),
        st.integers(0, 5),
        st.integers(0, 400),
    ),
    max_size=25,
)


@given(STEPS)
def test_mirrors_hold_what_the_caches_here_hold(steps: list[tuple[str, int, int]]) -> None:
    others = Loopback()
    model = ShardedModel(TokensAsKeys(), others)  # type: ignore[arg-type]
    caches: list[tuple[Layers, list[int]]] = []
    fresh = iter(range(1, 1_000_000))
    for kind, which, number in steps:
        if kind == "new" or not caches:
            caches.append(([KVCache(), KVCache()], []))  # type: ignore[no-untyped-call]
            continue
        layers, tokens = caches[which % len(caches)]
        length = number % (len(tokens) + 1)
        if kind == "feed":
            more = [next(fresh) for _ in range(1 + number)]
            model(mx.array([more]), layers)
            tokens.extend(more)
            mirror = others.mirrors.layers[layers[0].mirror.number]
            assert held(mirror) == held(layers) == tokens
        elif kind == "copy":
            caches.append((snapshot(layers, len(tokens), length), tokens[:length]))
        elif kind == "cut":
            cut(layers, len(tokens), length)
            del tokens[length:]
        else:
            caches.pop(which % len(caches))
        del layers, tokens
    gc.collect()
    # One more pass tells the others what nobody needs any more.
    last: Layers = [KVCache(), KVCache()]  # type: ignore[no-untyped-call]
    model(mx.array([[7]]), last)
    needed = {layers[0].mirror.number for layers, _ in caches if getattr(layers[0], "mirror", None)}
    assert set(others.mirrors.layers) == needed | {last[0].mirror.number}


# Two real machines, as far as MLX can tell.


def build_mixture(directory: Path) -> Path:
    """Write a random mixture of experts, quantised, whose likeliest token is far from the next."""
    build_model(directory)
    config = read_json_object(directory / "config.json")
    config |= {
        "model_type": "qwen3_moe",
        "hidden_size": 128,
        "head_dim": 32,
        "tie_word_embeddings": False,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 64,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "norm_topk_prob": True,
    }
    model = qwen3_moe.Model(qwen3_moe.ModelArgs.from_dict(config))  # type: ignore[no-untyped-call]
    model.update(tree_map(lambda array: array * 4, model.parameters()))
    model, config = quantize_model(model, config, group_size=32, bits=8)
    (directory / "config.json").write_text(json.dumps(config))
    save_weights(directory, model)
    return directory


@pytest.fixture
async def engines(tmp_path: Path) -> AsyncIterator[tuple[Engine, Engine, Machines]]:
    """A model on one machine, and on two."""
    choice = resolve_model(str(build_mixture(tmp_path / "mixture")))
    assert choice.path is not None
    hosts = read_hosts(hosts_file(tmp_path))
    machines = await anyio.to_thread.run_sync(Machines.start, hosts, choice, lambda _: None)
    one, two = Engine(), Engine(EngineOptions(), machines=machines)
    await one.load(choice.path)
    await two.load(choice.path)
    yield one, two, machines
    await two.aclose()
    await one.aclose()
    machines.close()
    await anyio.to_thread.run_sync(_wait, lambda: not followers_of_this_process())


def _wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def generated(engine: Engine, request: GenerateRequest) -> tuple[list[int], Finished]:
    tokens: list[int] = []
    async with engine.generate(request) as generation:
        async for event in generation:
            if isinstance(event, Decoded):
                tokens += event.tokens
            elif isinstance(event, Finished):
                return tokens, event
    raise AssertionError("a generation without an end")


def test_the_machines_answer_in_a_process_of_its_own() -> None:
    """A process cannot leave a ring: what it sums later would wait for machines that are gone."""
    test = f"{__file__}::{test_two_machines_answer_as_one.__name__}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]
    done = subprocess.run(
        command,
        env={**os.environ, OWN_PROCESS: "yes"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.anyio
@pytest.mark.skipif(OWN_PROCESS not in os.environ, reason="joins a ring: the test before runs it")
async def test_two_machines_answer_as_one(
    engines: tuple[Engine, Engine, Machines], tmp_path: Path
) -> None:
    one, two, machines = engines
    part = await two.with_model(lambda model: model.layers[0].self_attn.k_proj.weight.shape)
    whole = await one.with_model(lambda model: model.layers[0].self_attn.k_proj.weight.shape)
    assert (part[0] * 2, part[1]) == whole

    base = [5 + number * 37 % 250 for number in range(120)]
    likely = GenerateRequest(tuple(base), 12, owner="a")
    drawn = Sampling(temperature=1.0, top_k=30, seed=7)
    for request in (
        likely,
        replace(likely, tokens=(*base, 5, 6, 7), sampling=drawn),
        # What was kept is cut and goes another way, then is read again by another session.
        replace(likely, tokens=(*base[:60], *[9] * 20), sampling=drawn),
        replace(likely, tokens=(*base, 1, 2), sampling=drawn, owner="b", max_tokens=8),
    ):
        alone, alone_end = await generated(one, request)
        shared, shared_end = await generated(two, request)
        assert shared == alone
        assert len(shared) > 5
        assert (shared_end.cached, shared_end.prompt) == (alone_end.cached, alone_end.prompt)

    answers: dict[tuple[Engine, int], list[int]] = {}

    async def ask(engine: Engine, number: int) -> None:
        sampling = Sampling(temperature=0.9, seed=number)
        request = replace(likely, tokens=(*base, number), sampling=sampling, owner=str(number))
        answers[engine, number] = (await generated(engine, request))[0]

    for engine in (one, two):
        async with anyio.create_task_group() as tasks:
            for number in range(2):
                tasks.start_soon(ask, engine, number)
    assert all(answers[one, number] == answers[two, number] for number in range(2))

    # A cancelled response leaves the others whole.
    async with two.generate(replace(likely, max_tokens=400, owner="c")) as running:
        async for event in running:
            if isinstance(event, Decoded):
                break
    assert (await generated(two, likely))[0] == (await generated(one, likely))[0]
    assert not await two.rest()  # the others would not know

    # One that hangs and is given up: nobody waits for it, though the engine's thread has to.
    (follower,) = followers_of_this_process()
    os.kill(follower, signal.SIGSTOP)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_give_up, machines)
            with pytest.raises(EngineError, match=r"^127\.0\.0\.1 has left the machines"):
                await generated(two, replace(likely, owner="d"))
    finally:
        os.kill(follower, signal.SIGCONT)
    with pytest.raises(EngineError, match="has left the machines"):
        await generated(two, likely)
    again = Engine(EngineOptions(), machines=machines)
    with pytest.raises(ModelUnavailable, match="has left the machines"):
        await again.load(tmp_path)
    await again.aclose()


async def _give_up(machines: Machines) -> None:
    await anyio.sleep(0.2)
    machines._lose("127.0.0.1", "")


@pytest.fixture
def nobody_left() -> Iterator[None]:
    yield
    _wait(lambda: not followers_of_this_process())


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("model_fingerprint", "another", "127.0.0.1 has another version of punie-tiny; pull or"),
        ("versions", {"mlx": "0.1"}, r"127.0.0.1 has mlx 0\.\d+.* and this machine 0\.1; install"),
    ],
)
def test_machines_that_do_not_fit(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    nobody_left: None,
    name: str,
    value: object,
    fault: str,
) -> None:
    monkeypatch.setattr(machines_module, name, lambda *_: value)
    with pytest.raises(CannotShare, match=fault):
        Machines.start(read_hosts(hosts_file(tmp_path)), resolve_model(BUNDLED_ID), print)


def test_machines_that_do_not_reach_one_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nobody_left: None
) -> None:
    ring = [["127.0.0.1:18999"], ["192.0.2.1:18999"]]
    monkeypatch.setattr(machines_module, "ring_addresses", lambda *_: ring)
    monkeypatch.setattr(machines_module, "_REHEARSAL_SECONDS", 1.0)
    with pytest.raises(CannotShare, match=r"do not reach one another at 127.0.0.1, 127.0.0.1; see"):
        Machines.start(read_hosts(hosts_file(tmp_path)), resolve_model(BUNDLED_ID), print)


def test_a_machine_that_lacks_the_model_or_is_not_there(
    tmp_path: Path, nobody_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CannotShare, match="openai:x has no weights that machines could share"):
        Machines.start(read_hosts(hosts_file(tmp_path)), resolve_model("openai:x"), print)
    choice = replace(resolve_model(BUNDLED_ID), id="org/only-here")
    with pytest.raises(CannotShare, match=r"127.0.0.1 cannot take part: The model org/only-here"):
        Machines.start(read_hosts(hosts_file(tmp_path)), choice, print)
    # No name server is asked: ssh knows by itself that this is none.
    away = {"ssh": "no host", "ips": ["192.0.2.1"]}
    with pytest.raises(CannotShare, match=r"no host could not be started.*see that `ssh HOST"):
        Machines.start(read_hosts(hosts_file(tmp_path, [HERE, away])), choice, print)
    monkeypatch.setattr(machines_module, "sys", SimpleNamespace(executable="/nowhere/python"))
    with pytest.raises(CannotShare, match=r"launcher .* is not installed"):
        Machines.start(read_hosts(hosts_file(tmp_path)), choice, print)
