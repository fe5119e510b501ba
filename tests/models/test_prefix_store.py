import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from punie.models.mlx.chat_format import ChatFormat, ToolSpecification
from punie.models.mlx.prefixes.cache import PrefixCache
from punie.models.mlx.prefixes.entry import Kind, Slot
from punie.models.mlx.prefixes.file import encode_header
from punie.models.mlx.prefixes.layers import LayerState, build_layer, read_layer
from punie.models.mlx.prefixes.store import PrefixStore, model_identity
from tests.assets import TEMPLATES, needs_assets
from tests.models.families import FAMILIES, Family, FamilyDirectories, TemplateName
from tests.models.held_memory import held_memory
from tests.models.reference import VARIANTS, Reference, load_reference, reference_of, text

BIG = 1 << 40


def open_store(directory: Path, identity: str = "one", **options: Any) -> PrefixStore:
    return PrefixStore(directory, identity, **{"min_free": 0, **options})


def open_cache(reference: Reference, directory: Path, **options: Any) -> PrefixCache:
    store = open_store(directory, **options)
    return PrefixCache(reference.make_layers, BIG, store=store, quiet_seconds=0.0)


def work(kept: PrefixCache) -> None:
    """Let the quiet time pass."""
    end = time.monotonic() + 30
    while kept.idle():
        assert time.monotonic() < end
        time.sleep(0.002)


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*/*.safetensors"))


def save(reference: Reference, directory: Path, tokens: list[int], owner: str = "a") -> Path:
    """Save a session's state and return its file."""
    before = files(directory)
    kept = open_cache(reference, directory)
    kept.put(reference.slot(tokens), "session", owner)
    assert kept.flush(30)
    (new,) = set(files(directory)) - set(before)
    return new


@pytest.fixture(params=VARIANTS)
def reference(request: pytest.FixtureRequest, family_directories: FamilyDirectories) -> Reference:
    return load_reference(family_directories, request.param)


@pytest.fixture
def qwen3(family_directories: FamilyDirectories) -> Reference:
    return load_reference(family_directories, "qwen3")


@pytest.fixture
def hybrid(family_directories: FamilyDirectories) -> Reference:
    return load_reference(family_directories, "qwen3_next")


# What comes back is what was saved.


def cast(state: LayerState, dtype: mx.Dtype) -> LayerState:
    arrays = [
        array.astype(dtype) if array is not None and array.dtype == mx.float32 else array
        for array in state.arrays
    ]
    return replace(state, arrays=tuple(arrays))


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16, mx.float16])
def test_every_kind_of_layer_comes_back_bit_for_bit(
    reference: Reference, tmp_path: Path, dtype: mx.Dtype
) -> None:
    tokens = text(70, 3)
    # MLX runs experts on a CPU in full precision only, so it is the state that is converted.
    states = [cast(read_layer(layer), dtype) for layer in reference.slot(tokens).layers]
    layers = [build_layer(state) for state in states]
    slot = Slot(tokens, layers)
    kept = open_cache(reference, tmp_path)
    kept.put(slot, "session", "a")
    assert kept.flush(30)
    # The format is the one that others read.
    (file,) = files(tmp_path)
    assert "tokens" in mx.load(str(file))
    restored = open_cache(reference, tmp_path).take([*tokens, 1], "a")
    assert restored.tokens == tokens
    for left, right in zip(layers, restored.layers, strict=True):
        one, two = read_layer(left), read_layer(right)
        assert (one.kind, one.numbers) == (two.kind, two.numbers)
        for a, b in zip(one.tensors(), two.tensors(), strict=True):
            assert a.dtype == b.dtype
            held = a[..., :70, :] if one.grows else a
            held = held[..., : b.shape[-2], :] if one.kind == "window" else held
            assert mx.array_equal(held.view(mx.uint8), b.view(mx.uint8))


def test_a_restart_prefills_only_what_is_new(reference: Reference, tmp_path: Path) -> None:
    prompt = text(300, 3)
    kept = open_cache(reference, tmp_path)
    slot = kept.take(prompt, "a")
    reference.advance(slot, prompt[:120])
    kept.checkpoint(slot, "system", "a")
    reference.advance(slot, prompt[120:])
    kept.put(slot, "session", "a")
    assert kept.flush(30)
    again = open_cache(reference, tmp_path)
    slot = again.take([*prompt, 1, 2], "a")
    assert slot.tokens == prompt
    reference.advance(slot, [1, 2])
    # Another session has the system prompt, from memory the second time.
    for question in (8, 9):
        slot = again.take([*prompt[:120], question], "b")
        assert slot.tokens == prompt[:120]
        reference.advance(slot, [question])
    assert again.counters.restored_tokens == 300 + 120
    assert again.counters.hits == 3


TOOLS = (ToolSpecification("read_file", "Read.", {"properties": {"path": {"type": "string"}}}),)


def answer(number: int, *, call: bool) -> dict[str, Any]:
    message = {
        "role": "assistant",
        "content": f"Answer {number}.",
        "reasoning_content": f"I think of {number}.",
    }
    calls = [{"name": "read_file", "arguments": {"path": f"{number}.py"}}]
    return message | ({"tool_calls": calls} if call else {})


CONVERSATION: list[dict[str, Any]] = [{"role": "system", "content": "Be brief, fox."}]
for turn in range(3):
    CONVERSATION += [
        {"role": "user", "content": f"Question {turn} about the lazy dog"},
        answer(2 * turn, call=True),
        {"role": "tool", "content": f"def reader_{turn}"},
        answer(2 * turn + 1, call=False),
    ]


def converse(
    reference: Reference, chosen: ChatFormat, next_cache: Callable[[], PrefixCache]
) -> list[tuple[int, int]]:
    """Hold the conversation as an engine does; return prefilled and new tokens of each request."""
    counts: list[tuple[int, int]] = []
    said: list[int] = []
    for index, message in enumerate(CONVERSATION):
        if message["role"] != "assistant":
            continue
        prompt = chosen.encode(CONVERSATION[:index], TOOLS)
        kept = next_cache()
        slot = kept.take(prompt.tokens, "a")
        same = next(
            (i for i, (a, b) in enumerate(zip(said, prompt.tokens, strict=False)) if a != b),
            len(said),
        )
        counts.append((len(prompt.tokens) - len(slot.tokens), len(prompt.tokens) - same))
        places = prompt.checkpoints
        stops: list[tuple[int, Kind]] = [
            (places.system, "system"),
            (places.turn, "turn"),
            (places.message, "message"),
            (len(prompt.tokens), "session"),
        ]
        for place, kind in stops:
            if place > len(slot.tokens):
                reference.advance(slot, prompt.tokens[len(slot.tokens) : place])
                if place < len(prompt.tokens):
                    kept.checkpoint(slot, kind, "a")
        finished = chosen.encode(CONVERSATION[: index + 1], TOOLS, generation_prompt=False).tokens
        assert finished[: len(prompt.tokens)] == prompt.tokens
        reference.advance(slot, finished[len(prompt.tokens) :])
        said = slot.tokens
        kept.put(slot, "session", "a")
    return counts


def check_conversation(reference: Reference, chosen: ChatFormat, directory: Path | None) -> None:
    """Hold the conversation, with a restart before each request if there is a directory."""
    caches = [PrefixCache(reference.make_layers, BIG)]

    def next_cache() -> PrefixCache:
        if directory is not None:
            assert caches[-1].flush(30)
            caches.append(open_cache(reference, directory))
        return caches[-1]

    header = len(chosen.vocabulary.encode_text("assistant\n")) + 1
    for prefilled, new in converse(reference, chosen, next_cache):
        # A running state goes on from where the answer began, not from within its first words.
        assert new <= prefilled <= new + (0 if chosen.keeps_thoughts else header)


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("template_name", ["append", "json", "strip"])
@pytest.mark.parametrize("family", FAMILIES)
def test_each_request_of_a_conversation_prefills_only_what_is_new(
    family: Family,
    template_name: TemplateName,
    restarts: bool,
    family_directories: FamilyDirectories,
    tmp_path: Path,
) -> None:
    chosen = ChatFormat.load(family_directories.own(family, template_name))
    reference = load_reference(family_directories, family)
    check_conversation(reference, chosen, tmp_path if restarts else None)


@needs_assets
@pytest.mark.parametrize(
    ("family", "published"),
    [
        ("qwen3_moe", TEMPLATES[0]),
        ("qwen3_next", TEMPLATES[0]),
        ("qwen3", TEMPLATES[1]),
        ("qwen3_5", TEMPLATES[2]),
    ],
)
def test_the_same_with_published_templates_and_restarts(
    family: Family, published: str, family_directories: FamilyDirectories, tmp_path: Path
) -> None:
    directory = family_directories.real(family, published)
    check_conversation(reference_of(directory, family), ChatFormat.load(directory), tmp_path)


# Files that are not what they were.


@pytest.fixture(params=["qwen3", "qwen3_next"])
def saved(
    request: pytest.FixtureRequest, family_directories: FamilyDirectories, tmp_path: Path
) -> tuple[Reference, Path, bytes]:
    reference = load_reference(family_directories, request.param)
    file = save(reference, tmp_path, text(30, 3))
    return reference, file, file.read_bytes()


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=st.data(), opened_before=st.booleans())
def test_a_changed_file_is_never_believed(
    saved: tuple[Reference, Path, bytes], data: st.DataObject, opened_before: bool
) -> None:
    reference, file, content = saved
    changed = bytearray(content)
    match data.draw(st.sampled_from(["bits", "bytes", "cut", "more", "other"])):
        case "bits":
            place = data.draw(st.integers(0, len(content) - 1))
            changed[place] ^= 1 << data.draw(st.integers(0, 7))
        case "bytes":
            place = data.draw(st.integers(0, len(content) - 1))
            changed[place : place + 8] = data.draw(st.binary(min_size=1, max_size=30))
        case "cut":
            del changed[data.draw(st.integers(0, len(content) - 1)) :]
        case "more":
            changed += data.draw(st.binary(min_size=1, max_size=9))
        case _:
            changed = bytearray(data.draw(st.binary(max_size=60)))
    file.write_bytes(content)
    kept = open_cache(reference, file.parents[1])
    if opened_before:
        assert kept._store is not None
        assert kept._store.contains(np.array(text(30, 3), np.int32), "session", "a")
    file.write_bytes(changed)
    prompt = [*text(30, 3), 1, 2]
    slot = kept.take(prompt, "a")
    if bytes(changed) == content:
        assert len(slot.tokens) == 30
    elif not opened_before:
        assert slot.tokens == []
    if not slot.tokens:
        assert not file.exists()
    reference.advance(slot, prompt[len(slot.tokens) :])


def test_files_of_other_models_and_versions_are_removed(
    qwen3: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = save(qwen3, tmp_path, text(30, 3))
    foreign = tmp_path / "two" / file.name
    foreign.parent.mkdir()
    shutil.copy(file, foreign)
    assert open_cache(qwen3, tmp_path, identity="two").take([*text(30, 3), 1], "a").tokens == []
    assert not foreign.exists()
    assert file.exists()
    monkeypatch.setattr("punie.models.mlx.prefixes.store.FORMAT", "punie-prefix-0")
    assert open_cache(qwen3, tmp_path).take([*text(30, 3), 1], "a").tokens == []
    assert not file.exists()


def test_what_is_not_ours_is_left_alone(qwen3: Reference, tmp_path: Path) -> None:
    file = save(qwen3, tmp_path, text(30, 3))
    others = [file.parent / "notes.txt", file.parent / "model.safetensors", tmp_path / "x.tmp"]
    for other in others:
        other.write_text("mine")
        os.utime(other, (0, 0))
    kept = open_cache(qwen3, tmp_path, max_bytes=file.stat().st_size + 2000)
    kept.put(qwen3.slot(text(30, 5)), "session", "b")
    assert kept.flush(30)
    assert all(other.read_text() == "mine" for other in others)
    assert len(files(tmp_path)) == 2


def test_identity_tells_models_apart(family_directories: FamilyDirectories, tmp_path: Path) -> None:
    directory = tmp_path / "model"
    shutil.copytree(family_directories.own("qwen3"), directory)
    first = model_identity(directory)
    assert model_identity(directory) == first
    assert model_identity(directory, "8 bits") != first
    for name, change in (
        ("chat_template.jinja", b"x"),
        ("config.json", b" "),
        ("model.safetensors", b"\0"),
        ("tokenizer.json", b" "),
    ):
        with (directory / name).open("ab") as file:
            file.write(change)
        other = model_identity(directory)
        assert other != first
        first = other


# When something is saved.


def test_a_quiet_time_saves_system_prompts_and_last_states_once(
    reference: Reference, tmp_path: Path
) -> None:
    kept = open_cache(reference, tmp_path)
    slot = reference.slot(text(20, 3))
    kept.checkpoint(slot, "system", "a")
    reference.advance(slot, text(280, 5))
    kept.put(slot, "session", "a")
    kept.put(reference.slot(text(300, 7)), "session", None)
    work(kept)
    assert len(files(tmp_path)) == 2
    written = [file.stat().st_mtime_ns for file in files(tmp_path)]
    assert not kept.idle()
    # Nothing changed, or too little to write it all again before the end.
    slot = kept.take([*text(20, 3), *text(280, 5), 1, 2], "a")
    reference.advance(slot, [1, 2])
    kept.put(slot, "session", "a")
    work(kept)
    assert [file.stat().st_mtime_ns for file in files(tmp_path)] == written
    assert kept.flush(30)
    assert len(files(tmp_path)) == 2
    again = open_cache(reference, tmp_path)
    assert len(again.take([*text(20, 3), *text(280, 5), 1, 2, 3], "a").tokens) == 302
    assert not again.idle()


def test_nothing_is_written_while_the_cache_is_in_use(qwen3: Reference, tmp_path: Path) -> None:
    kept = PrefixCache(qwen3.make_layers, BIG, store=open_store(tmp_path), quiet_seconds=1000)
    kept.put(qwen3.slot(text(300, 3)), "session", "a")
    assert kept.idle()
    assert kept.idle()
    assert files(tmp_path) == []
    assert kept.flush(30)
    assert len(files(tmp_path)) == 1


def test_saving_copies_nothing(qwen3: Reference, tmp_path: Path) -> None:
    kept = open_cache(qwen3, tmp_path)
    kept.put(qwen3.slot(text(300, 3)), "session", "a")
    memory = held_memory()
    assert kept.idle()
    assert mx.get_active_memory() <= memory + 1300  # the tokens are on the host
    work(kept)
    assert mx.get_active_memory() == memory


def test_a_session_that_goes_on_stops_its_saving(
    qwen3: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Any:
        entered.set()
        assert go_on.wait(30)
        return encode_header(*arguments)

    monkeypatch.setattr("punie.models.mlx.prefixes.store.encode_header", slow)
    kept = open_cache(qwen3, tmp_path)
    prompt = text(300, 3)
    kept.put(qwen3.slot(prompt), "session", "a")
    assert kept.idle()
    assert entered.wait(30)
    # The writer still has the arrays, so the session gets copies when it writes.
    slot = kept.take([*prompt, 1, 2], "a")
    qwen3.advance(slot, [1, 2])
    go_on.set()
    kept.put(slot, "session", "a")
    work(kept)
    assert kept.flush(30)
    assert len(files(tmp_path)) == 1
    restored = open_cache(qwen3, tmp_path).take([*prompt, 1, 2, 3], "a")
    assert len(restored.tokens) == 302
    qwen3.advance(restored, [3])


def test_forgetting_a_session_may_remove_its_file(qwen3: Reference, tmp_path: Path) -> None:
    for owner in ("a", "b"):
        save(qwen3, tmp_path, text(30, ord(owner)), owner)
    kept = open_cache(qwen3, tmp_path)
    kept.forget("a")
    assert len(files(tmp_path)) == 2
    kept.forget("a", saved=True)
    assert len(files(tmp_path)) == 1
    assert kept.take([*text(30, ord("a")), 1], "a").tokens == []
    assert len(kept.take([*text(30, ord("b")), 1], "b").tokens) == 30


def test_reading_must_be_worth_it(qwen3: Reference, tmp_path: Path) -> None:
    save(qwen3, tmp_path, text(60, 3))
    kept = open_cache(qwen3, tmp_path)
    kept.put(qwen3.slot(text(50, 3)), "session", "b")
    assert len(kept.take([*text(60, 3), 1], "a").tokens) == 50
    kept.clear()
    # Of another session's file most must be used, since all of it is read.
    assert kept.take([*text(25, 3), 1], "c").tokens == []
    assert len(kept.take([*text(40, 3), 1], "c").tokens) == 40
    assert len(kept.take([*text(25, 3), 1], "a").tokens) == 25


# Space, permissions, accidents, company.


def test_the_least_recently_used_files_go_first(qwen3: Reference, tmp_path: Path) -> None:
    first = save(qwen3, tmp_path, text(30, 3), "a")
    second = save(qwen3, tmp_path, text(30, 5), "b")
    elsewhere = tmp_path / "another model" / first.name
    elsewhere.parent.mkdir()
    shutil.copy(first, elsewhere)
    for age, file in enumerate([elsewhere, second, first]):
        os.utime(file, (age, age))
    # A read makes it young again.
    assert len(open_cache(qwen3, tmp_path).take([*text(30, 5), 1], "b").tokens) == 30
    size = max(file.stat().st_size for file in files(tmp_path))
    kept = open_cache(qwen3, tmp_path, max_bytes=2 * size + 100)
    kept.put(qwen3.slot(text(30, 7)), "session", "c")
    assert kept.flush(30)
    assert second.exists()
    assert not first.exists()
    assert not elsewhere.exists()
    assert sum(file.stat().st_size for file in files(tmp_path)) <= 2 * size + 100
    # What is too big for all of it removes nothing.
    kept = open_cache(qwen3, tmp_path, max_bytes=2 * size + 100)
    kept.put(qwen3.slot(text(300, 7)), "session", "d")
    assert kept.flush(30)
    assert len(files(tmp_path)) == 2


def test_a_full_disk_gets_no_more(qwen3: Reference, tmp_path: Path) -> None:
    kept = open_cache(qwen3, tmp_path, min_free=1 << 60)
    kept.put(qwen3.slot(text(30, 7)), "session", "a")
    assert kept.flush(30)
    assert files(tmp_path) == []


def test_only_the_user_can_read(qwen3: Reference, tmp_path: Path) -> None:
    directory = tmp_path / "prefixes"
    directory.mkdir(mode=0o755)
    file = save(qwen3, directory, text(30, 3))
    assert file.stat().st_mode & 0o777 == 0o600
    for folder in file.parents[:2]:
        assert folder.stat().st_mode & 0o777 == 0o700


def test_where_nothing_can_be_written_only_the_saving_is_lost(
    qwen3: Reference, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no directory")
    kept = open_cache(qwen3, tmp_path / "file")
    with caplog.at_level(logging.INFO):
        for owner in ("a", "b"):
            kept.put(qwen3.slot(text(300, ord(owner))), "session", owner)
            work(kept)
        assert len(kept.take([*text(300, ord("a")), 1], "a").tokens) == 300
        kept.forget("b", saved=True)
        assert kept.flush(30)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "cannot be saved" in caplog.text


def test_a_process_killed_while_it_writes_leaves_no_entry(
    qwen3: Reference, family_directories: FamilyDirectories, tmp_path: Path
) -> None:
    code = f"""
import os, signal
from pathlib import Path
from tests.models.reference import load_reference, text
from tests.models.families import FamilyDirectories
from tests.models.test_prefix_store import save

Path.replace = lambda self, target: os.kill(os.getpid(), signal.SIGKILL)
reference = load_reference(FamilyDirectories(Path({str(family_directories.root)!r})), "qwen3")
save(reference, Path({str(tmp_path)!r}), text(30, 3))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    (left,) = list((tmp_path / "one").iterdir())
    assert left.suffix == ".tmp"
    assert open_cache(qwen3, tmp_path).take([*text(30, 3), 1], "a").tokens == []
    # It may be another process's, at work; after an hour it is nobody's.
    assert left.exists()
    os.utime(left, (0, 0))
    open_cache(qwen3, tmp_path).take([*text(30, 3), 1], "a")
    assert not left.exists()


def test_two_processes_do_not_hurt_each_other(
    qwen3: Reference, family_directories: FamilyDirectories, tmp_path: Path
) -> None:
    code = f"""
from pathlib import Path
from tests.models.reference import load_reference, text
from tests.models.families import FamilyDirectories
from tests.models.test_prefix_store import open_cache, work

reference = load_reference(FamilyDirectories(Path({str(family_directories.root)!r})), "qwen3")
for round in range(12):
    kept = open_cache(reference, Path({str(tmp_path)!r}), max_bytes=400_000)
    kept.checkpoint(reference.slot(text(40, 3)), "system", None)
    kept.put(reference.slot(text(50 + round, 5)), "session", "theirs")
    work(kept)
    assert kept.flush(30)
"""
    other = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    rounds = 0
    while other.poll() is None or rounds < 12:
        rounds += 1
        kept = open_cache(qwen3, tmp_path, max_bytes=400_000)
        for prompt, owner in (
            ([*text(40, 3), 1], None),
            ([*text(50 + rounds % 12, 5), 1], "theirs"),
            ([*text(60 + rounds % 30, 7), 1], "ours"),
        ):
            slot = kept.take(prompt, owner)
            qwen3.advance(slot, prompt[len(slot.tokens) :])
            kept.put(slot, "session", "ours")
        assert kept.flush(30)
    assert other.stderr is not None
    assert other.wait() == 0, other.stderr.read()
    other.stderr.close()
    assert sum(file.stat().st_size for file in files(tmp_path)) <= 400_000
    assert not list(tmp_path.glob("*/*.tmp"))
    last = open_cache(qwen3, tmp_path)
    for file in last._store._files().values() if last._store else ():
        prompt = [*file.tokens.tolist(), 1]
        slot = last.take(prompt, file.owner)
        assert len(slot.tokens) == len(prompt) - 1
        qwen3.advance(slot, [1])


def test_a_file_another_process_removed_is_a_miss(qwen3: Reference, tmp_path: Path) -> None:
    file = save(qwen3, tmp_path, text(30, 3))
    kept = open_cache(qwen3, tmp_path)
    assert kept._store is not None
    assert kept._store.covered(np.array(text(30, 3), np.int32), "a") == 30
    file.unlink()
    slot = kept.take([*text(30, 3), 1], "a")
    assert slot.tokens == []
    qwen3.advance(slot, [*text(30, 3), 1])
    kept.put(slot, "session", "a")
    assert kept.flush(30)
    assert len(files(tmp_path)) == 1
