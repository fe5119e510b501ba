"""The prefix cache against a naive model: whatever it hands out is what a fresh prefill gives."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from punie.models.mlx.prefixes.cache import PrefixCache
from punie.models.mlx.prefixes.entry import Kind, Slot, common_prefix
from punie.models.mlx.prefixes.layers import UnknownLayerError, stays_cuttable
from punie.models.mlx.prefixes.store import PrefixStore
from tests.models.families import FamilyDirectories
from tests.models.held_memory import held_memory
from tests.models.reference import VARIANTS, Reference, load_reference, text

BIG = 1 << 40


@pytest.fixture(params=VARIANTS)
def reference(request: pytest.FixtureRequest, family_directories: FamilyDirectories) -> Reference:
    return load_reference(family_directories, request.param)


@pytest.fixture
def qwen3(family_directories: FamilyDirectories) -> Reference:
    return load_reference(family_directories, "qwen3")


@pytest.fixture
def hybrid(family_directories: FamilyDirectories) -> Reference:
    return load_reference(family_directories, "qwen3_5")


def take_up(reference: Reference, kept: PrefixCache, prompt: Sequence[int], owner: str) -> int:
    """Let a session's prompt go through, decode two tokens; return how many were reused."""
    slot = kept.take(prompt, owner)
    reused = len(slot.tokens)
    assert slot.tokens == list(prompt[:reused])
    assert reused < len(prompt)
    reference.advance(slot, prompt[reused:])
    reference.advance(slot, [3])
    kept.put(slot, "session", owner)
    return reused


# What is handed out is true, whatever happened before.

OWNERS = ("a", "b", None)
owners = st.sampled_from(OWNERS)
pieces = st.lists(st.integers(0, 2), min_size=1, max_size=6)
# Two system prompts, one a beginning of the other, and steps beyond one block of 256.
SYSTEMS = (text(9, 3), text(30, 3), text(20, 5))


@dataclass
class Use:
    """A slot in use, and the prompt that is still to go through it."""

    slot: Slot
    owner: str | None
    rest: list[int] = field(default_factory=list)


class PrefixCacheMachine(RuleBasedStateMachine):
    """Sessions that go on, branch, run at the same time and are cut off."""

    reference: Reference

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="punie-prefixes-"))
        self.kept = self.open()
        self.budget = BIG
        self.histories: list[list[int]] = [list(system) for system in SYSTEMS]
        self.uses: list[Use] = []

    def open(self) -> PrefixCache:
        store = PrefixStore(self.directory, "one", max_bytes=300_000, min_free=0)
        return PrefixCache(self.reference.make_layers, BIG, store=store, quiet_seconds=0.0)

    @rule()
    def restart(self) -> None:
        """Everything is saved that should be; what is in use goes on in the new cache."""
        assert self.kept.flush(30)
        self.kept, self.budget = self.open(), BIG

    @rule(times=st.integers(1, 3))
    def idle(self, times: int) -> None:
        """The writer may be at work while the sessions go on."""
        for _ in range(times):
            self.kept.idle()

    @rule(which=st.integers(0), back=st.integers(0, 8), new=pieces, owner=owners)
    def begin(self, which: int, back: int, new: list[int], owner: str | None) -> None:
        history = self.histories[which % len(self.histories)]
        prompt = [*history[: max(1, len(history) - back)], *new]
        slot = self.kept.take(prompt, owner)
        assert slot.tokens == prompt[: len(slot.tokens)]
        assert len(slot.tokens) < len(prompt)
        if not slot.tokens:
            # Nothing usable was overlooked: whatever can be cut shares at least a first token.
            assert (
                not any(
                    stays_cuttable(entry.layers) and entry.tokens[0] == prompt[0]
                    for entry in self.kept._entries
                )
                or len(prompt) == 1
            )
        self.uses.append(Use(slot, owner, prompt[len(slot.tokens) :]))

    @precondition(lambda self: self.uses)
    @rule(
        which=st.integers(0),
        count=st.integers(1, 40),
        kind=st.sampled_from(["", "turn", "message", "system"]),
    )
    def prefill(self, which: int, count: int, kind: Kind) -> None:
        use = self.uses[which % len(self.uses)]
        fed, use.rest = use.rest[:count], use.rest[count:]
        self.reference.advance(use.slot, fed or [which % 3])
        if kind:
            self.kept.checkpoint(use.slot, kind, use.owner)
            self.check_budget()

    @precondition(lambda self: self.uses)
    @rule(which=st.integers(0))
    def finish(self, which: int) -> None:
        use = self.uses.pop(which % len(self.uses))
        if use.slot.tokens:
            self.histories.append(list(use.slot.tokens))
        self.kept.put(use.slot, "session", use.owner)
        self.check_budget()

    @precondition(lambda self: self.uses)
    @rule(which=st.integers(0))
    def fail(self, which: int) -> None:
        """A slot in use is lost, as when the engine fails."""
        self.uses.pop(which % len(self.uses))

    @rule(part=st.floats(0, 1))
    def shrink(self, part: float) -> None:
        limit = int(self.kept.nbytes * part)
        self.kept.shrink(limit)
        assert self.kept.nbytes <= limit

    @rule(part=st.floats(0.2, 2))
    def set_budget(self, part: float) -> None:
        self.budget = max(1, int(self.kept.nbytes * part))
        self.kept.set_budget(self.budget)
        assert self.kept.nbytes <= self.budget

    @rule(owner=st.sampled_from(["a", "b"]))
    def forget(self, owner: str) -> None:
        self.kept.forget(owner)
        assert not any(entry.owner == owner for entry in self.kept._entries)

    @rule(which=st.integers(0), nothing=st.sampled_from(OWNERS))
    def look(self, which: int, nothing: str | None) -> None:
        """Nothing that is kept was corrupted: one of the entries answers as it should."""
        entries = self.kept._entries
        if entries:
            prompt = [*entries[which % len(entries)].tokens.tolist(), which % 3]
            slot = self.kept.take(prompt, "somebody else")
            assert slot.tokens == prompt[:-1]
            self.reference.advance(slot, prompt[-1:])

    @invariant()
    def carriers_are_kept(self) -> None:
        for entry in self.kept._entries:
            carrier = entry.carrier
            assert carrier is None or any(carrier is other for other in self.kept._entries)
            assert carrier is None or carrier.carrier is None

    def check_budget(self) -> None:
        assert self.kept.nbytes <= self.budget or len(self.kept) == 1

    def teardown(self) -> None:
        while self.uses:
            self.finish(0)
        for entry in self.kept._entries:
            prompt = [*entry.tokens.tolist(), 1]
            self.reference.advance(self.kept.take(prompt, "somebody else"), prompt[-1:])
        self.kept.flush(30)
        shutil.rmtree(self.directory)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_slot_is_what_a_fresh_prefill_gives(
    variant: str, family_directories: FamilyDirectories
) -> None:
    class Machine(PrefixCacheMachine):
        reference = load_reference(family_directories, variant)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


# What it costs.


def test_a_session_goes_on_in_its_own_cache_without_a_copy(qwen3: Reference) -> None:
    kept = PrefixCache(qwen3.make_layers, BIG)
    prompt = text(300, 3)
    kept.put(qwen3.slot(prompt), "session", "a")
    memory = held_memory()
    slot = kept.take([*prompt, 1, 2], "a")
    assert (slot.tokens, slot.is_copy, len(kept)) == (prompt, False, 0)
    logits = qwen3.feed(slot.layers, [1, 2])
    del logits
    assert mx.get_active_memory() == memory
    slot.tokens += [1, 2]
    kept.put(slot, "session", "a")
    # A retry, which changes the end, is no reason for a copy either.
    slot = kept.take([*prompt[:-5], 9, 9], "a")
    assert (len(slot.tokens), slot.is_copy) == (295, False)
    qwen3.advance(slot, [9, 9])


def test_another_session_shares_until_it_writes(qwen3: Reference) -> None:
    kept = PrefixCache(qwen3.make_layers, BIG)
    prompt = text(300, 3)
    kept.put(qwen3.slot(prompt), "session", "a")
    memory = held_memory()
    slot = kept.take([*prompt[:200], 1, 2], "b")
    assert (len(slot.tokens), slot.is_copy, len(kept)) == (200, True, 1)
    assert mx.get_active_memory() == memory
    # Given back as it was taken, there is nothing new to keep.
    kept.put(slot, "session", "b")
    assert len(kept) == 1
    assert take_up(qwen3, kept, [*prompt, 5], "a") == 300


def test_a_side_request_of_a_session_leaves_its_state_alone(qwen3: Reference) -> None:
    kept = PrefixCache(qwen3.make_layers, BIG)
    prompt = text(200, 3)
    kept.put(qwen3.slot(prompt), "session", "a")
    assert take_up(qwen3, kept, [*prompt[:60], 7, 7], "a") == 60
    assert take_up(qwen3, kept, [*prompt, 7], "a") == 200


def test_the_same_prompt_again_leaves_one_token(reference: Reference) -> None:
    kept = PrefixCache(reference.make_layers, BIG)
    prompt = text(20, 3)
    slot = reference.slot(prompt[:-1])
    kept.checkpoint(slot, "turn", "a")
    reference.advance(slot, prompt[-1:])
    kept.put(slot, "session", "a")
    assert take_up(reference, kept, prompt, "b") == 19
    assert take_up(reference, kept, prompt, "a") == 19
    assert kept.counters.hits == 2
    assert kept.counters.reused_tokens == 38
    assert take_up(reference, kept, [200, *prompt], "c") == 0
    assert kept.counters.misses == 1


def test_empty_and_one_token_prompts(reference: Reference) -> None:
    kept = PrefixCache(reference.make_layers, BIG)
    kept.put(kept.take([], None), "session", None)
    kept.checkpoint(kept.take([], None), "turn", None)
    assert len(kept) == 0
    kept.put(reference.slot([5]), "session", "a")
    assert kept.take([5], "a").tokens == []
    assert kept.take([], "a").tokens == []


def test_layers_that_hold_something_else_are_refused(qwen3: Reference) -> None:
    kept = PrefixCache(qwen3.make_layers, BIG)
    slot = qwen3.slot([1, 2, 3])
    slot.tokens.append(4)
    with pytest.raises(UnknownLayerError):
        kept.put(slot, "session", "a")
    with pytest.raises(UnknownLayerError):
        kept.checkpoint(slot, "system", None)
    assert len(kept) == 0


# Which entries there are.


def kinds(kept: PrefixCache) -> list[tuple[Kind, str | None, int]]:
    return sorted((entry.kind, entry.owner, len(entry.tokens)) for entry in kept._entries)


def test_system_prefixes_are_there_while_all_sessions_are_in_use(reference: Reference) -> None:
    kept = PrefixCache(reference.make_layers, BIG)
    system = text(15, 3)
    slot = kept.take([*system, 1], "a")
    reference.advance(slot, system)
    kept.checkpoint(slot, "system", "a")
    reference.advance(slot, [1])
    other = kept.take([*system, 2], "b")
    assert len(other.tokens) == 15
    reference.advance(other, [2])
    kept.put(slot, "session", "a")
    kept.put(other, "session", "b")
    assert kinds(kept) == [("session", "a", 16), ("session", "b", 16), ("system", None, 15)]
    # It is kept once, and what only one session can use goes with the session.
    kept.checkpoint(reference.slot(system), "system", "b")
    kept.forget("a")
    assert kinds(kept) == [("session", "b", 16), ("system", None, 15)]


def test_a_beginning_of_the_same_session_is_dropped_where_it_serves_nothing(
    reference: Reference,
) -> None:
    kept = PrefixCache(reference.make_layers, BIG)
    prompt = text(15, 3)
    slot = reference.slot(prompt)
    kept.checkpoint(slot, "turn", "a")
    reference.advance(slot, [1])
    kept.put(slot, "session", "a")
    longer = reference.slot([*prompt, 1, 2])
    kept.put(longer, "session", "a")
    cuttable = stays_cuttable(reference.make_layers())
    turn = [] if cuttable else [("turn", "a", 15)]
    assert kinds(kept) == [("session", "a", 17), *turn]
    # Another session may need its own while this one is in use.
    kept.put(reference.slot(prompt), "session", "b")
    kept.put(reference.slot([*prompt, 1, 2, 3]), "session", "a")
    assert kinds(kept) == [("session", "a", 18), ("session", "b", 15), *turn]


def test_a_session_keeps_only_a_few_checkpoints(hybrid: Reference) -> None:
    kept = PrefixCache(hybrid.make_layers, BIG)
    slot = hybrid.slot(text(10, 3))
    for step in range(12):
        kept.checkpoint(slot, "turn", "a")
        hybrid.advance(slot, [step])
        kept.checkpoint(slot, "message", "a")
    assert [entry.kind for entry in kept._entries].count("turn") == 4
    assert max(len(entry.tokens) for entry in kept._entries if entry.kind == "turn") == 21
    assert ("message", "a", 22) in kinds(kept)
    assert len(kept) == 5


def test_one_place_is_kept_once(hybrid: Reference) -> None:
    kept = PrefixCache(hybrid.make_layers, BIG)
    slot = hybrid.slot(text(10, 3))
    order: list[Kind] = ["turn", "message", "turn"]
    for kind in order:
        kept.checkpoint(slot, kind, "a")
    assert kinds(kept) == [("turn", "a", 10)]
    kept.checkpoint(slot, "system", "a")
    kept.checkpoint(slot, "turn", "b")
    assert kinds(kept) == [("system", None, 10), ("turn", "a", 10)]


def test_checkpoints_of_a_session_take_only_their_running_states(hybrid: Reference) -> None:
    """Their keys and values are the session's own."""
    kept = PrefixCache(hybrid.make_layers, BIG)
    hybrid.fresh.cache_clear()
    memory = held_memory()
    slot = hybrid.slot(text(900, 3))
    kept.checkpoint(slot, "turn", "a")
    hybrid.advance(slot, text(600, 5))
    kept.checkpoint(slot, "turn", "a")
    hybrid.advance(slot, [1])
    kept.put(slot, "session", "a")
    del slot
    hybrid.fresh.cache_clear()
    session = next(entry for entry in kept._entries if entry.kind == "session")
    assert kept.nbytes == session.pinned + 3 * session.fixed
    assert abs(mx.get_active_memory() - memory - kept.nbytes) < kept.nbytes // 50
    # When the session's state goes, the longest one keeps them for the others.
    kept._remove(session)
    pinned = [entry.pinned for entry in kept._entries if entry.carrier is None]
    assert kept.nbytes == sum(pinned) + 2 * session.fixed
    del session
    assert abs(mx.get_active_memory() - memory - kept.nbytes) < kept.nbytes // 50


# What goes first.


def fill(reference: Reference, budget_tokens: int) -> PrefixCache:
    """A cache for about that many blocks of 256 tokens."""
    block = reference.slot([1]).nbytes
    return PrefixCache(reference.make_layers, budget_tokens * block)


def test_least_valuable_goes_first(qwen3: Reference) -> None:
    kept = fill(qwen3, 3)
    for salt, owner in ((3, "a"), (5, "b"), (7, "c")):
        kept.put(qwen3.slot(text(200, salt)), "session", owner)
    # Often used ones stay; among the others it is the one that saves fewer tokens for its size.
    for _ in range(3):
        kept.take([*text(200, 3), 1], None)
    kept.put(qwen3.slot([*text(200, 5)[:150], *text(100, 9)]), "session", "d")
    assert [entry.owner for entry in kept._entries] == ["a", "c", "d"]
    assert kept.counters.evictions == 1


def test_fame_fades(qwen3: Reference) -> None:
    kept = fill(qwen3, 3)
    kept.put(qwen3.slot(text(200, 3)), "session", "famous")
    for _ in range(5):
        kept.take([*text(200, 3), 1], None)
    for salt in range(4, 40):
        kept.put(qwen3.slot([salt, *text(200, salt)]), "session", str(salt))
    assert all(entry.owner != "famous" for entry in kept._entries)


def test_system_prefixes_go_last(qwen3: Reference) -> None:
    kept = fill(qwen3, 4)
    kept.put(qwen3.slot([9, *text(30, 9)]), "system", None)
    for salt in range(10, 20):
        kept.put(qwen3.slot([salt, *text(200, salt)]), "session", str(salt))
    assert [entry.kind for entry in kept._entries].count("system") == 1
    kept.shrink(kept.nbytes // 4)
    assert [entry.kind for entry in kept._entries] == ["system"]
    kept.shrink(0)
    assert len(kept) == 0
    # But they do not fill the cache: beyond half of it the worst goes like anything else.
    for salt in range(20, 30):
        kept.put(qwen3.slot([salt, *text(30, salt)]), "system", None)
    kept.put(qwen3.slot(text(200, 3)), "session", "a")
    found = [entry.kind for entry in kept._entries]
    assert "session" in found
    assert found.count("system") <= 3


def test_the_newest_session_stays_even_when_it_is_too_big(qwen3: Reference) -> None:
    kept = PrefixCache(qwen3.make_layers, 1)
    kept.put(qwen3.slot(text(50, 3)), "session", "a")
    kept.put(qwen3.slot(text(50, 5)), "session", "b")
    assert kinds(kept) == [("session", "b", 50)]
    kept.set_budget(1)
    assert len(kept) == 0


@pytest.mark.parametrize("length", [0, 1, 1023, 1024, 1025, 3000])
def test_common_prefix(length: int) -> None:
    left = np.arange(4000, dtype=np.int32)
    right = left.copy()
    right[length] = -1
    assert common_prefix(left, right) == length
    assert common_prefix(left, left[:length]) == length
    assert common_prefix(left[:length], left) == length
