"""Keys and values of earlier prompts, kept so that a turn prefills only what is new.

Every entry holds the tokens that went through the model and the cache layers after them. A
prompt takes the entry with which it shares the longest beginning. Where the layers can be cut
after any token, any beginning will do; a running state (Qwen3-Next, Qwen3.5) is usable only
whole, so snapshots are kept at places where later prompts are known to go on (`checkpoint`).

Belongs to the engine's thread, like everything that holds MLX arrays.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from punie.models.mlx.prefixes.entry import Entry, Kind, Slot, TokenArray, common_prefix
from punie.models.mlx.prefixes.layers import (
    Layers,
    check,
    compact,
    cut,
    evaluate,
    fixed_bytes,
    growing_bytes,
    share,
    snapshot,
    stays_cuttable,
)
from punie.models.mlx.prefixes.saver import PrefixSaver
from punie.models.mlx.prefixes.store import PrefixStore

_KEPT_OF_A_SESSION: dict[Kind, int] = {"turn": 4, "message": 1}
_SERVED_BY: dict[Kind, tuple[Kind, ...]] = {
    "system": ("system",),
    "turn": ("system", "turn"),
    "message": ("system", "turn", "message"),
    "session": (),
}
"""Kinds of entries that make one of the same tokens needless."""
_LEAST_GAIN = 16
_TOKENS_PER_GIB = 256
"""Tokens that are prefilled in the time that reading a GiB takes, at least, and as a rule more."""
_SYSTEM_SHARE = 2
"""System prefixes are safe from eviction while they take less than this part of the budget."""


@dataclass
class Counters:
    """What happened since the start.

    `reused_tokens` did not have to be prefilled; `restored_tokens` of them came from disk.
    """

    hits: int = 0
    misses: int = 0
    reused_tokens: int = 0
    evictions: int = 0
    restored_tokens: int = 0


class PrefixCache:
    """The entries, in at most `budget` bytes; the newest session's state always stays.

    What goes first is decided by GreedyDual-Size-Frequency (Cherkasova, Improving WWW Proxies
    Performance with Greedy-Dual-Size-Frequency Caching Policy, HP Labs HPL-98-69, 1998): the
    entry with the least `clock + uses * cost / size`, where the cost is the tokens that a prompt
    would have to prefill again beyond the next best entry. The clock of an entry is set when it
    is used, to the value of the last one that went, so that fame fades.

    System prefixes go last, as long as they take less than half of the budget.
    """

    def __init__(
        self,
        make_layers: Callable[[], Layers],
        budget: int,
        *,
        store: PrefixStore | None = None,
        quiet_seconds: float = 5.0,
    ) -> None:
        """`make_layers` returns the empty cache of the model.

        With a `store`, what is worth it is saved when nothing was asked for `quiet_seconds`.
        """
        self._make_layers = make_layers
        self._budget = budget
        self._store = store
        self._saver = None if store is None else PrefixSaver(store, quiet_seconds)
        self._entries: list[Entry] = []
        self._clock = 0.0
        self.counters = Counters()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def nbytes(self) -> int:
        """Memory of all entries, in bytes."""
        return sum(entry.nbytes for entry in self._entries)

    def take(self, tokens: Sequence[int], owner: str | None) -> Slot:
        """Return a slot with the longest beginning of `tokens` that is known, and nothing else.

        At least the last token is left to prefill. The last state of the session `owner` is
        handed over as it is; everything else stays in the cache and the slot copies on write.
        """
        self._touch()
        prompt = np.array(tokens, np.int32)
        limit = max(0, len(prompt) - 1)
        best, length = self._best(prompt, limit, owner)
        if restored := self._restore(prompt, limit, length, owner):
            return restored
        if best is None:
            self.counters.misses += 1
            return Slot([], self._make_layers())
        self.counters.hits += 1
        self.counters.reused_tokens += length
        held = len(best.tokens)
        # A side request of the session, such as one for its title, must not take it all.
        if best.kind == "session" and best.owner == owner is not None and 2 * length >= held:
            self._remove(best)
            cut(best.layers, held, length)
            return Slot(list(tokens[:length]), best.layers, best.uses + 1, length)
        best.uses += 1
        best.clock = self._clock
        layers = snapshot(best.layers, held, length)
        return Slot(list(tokens[:length]), layers, 1, length, is_copy=True)

    def _restore(self, prompt: TokenArray, limit: int, kept: int, owner: str | None) -> Slot | None:
        """Return a slot from disk if that saves enough beyond the `kept` tokens in memory."""
        found = self._store.find(prompt, limit, owner) if self._store else None
        if self._store is None or found is None:
            return None
        saved, length = found
        if length - kept < _LEAST_GAIN + saved.nbytes * _TOKENS_PER_GIB // (1 << 30):
            return None
        loaded = self._store.load(saved, length)
        if not loaded or len(loaded[0][-1]) != len(self._make_layers()):
            return None
        (held, _, layers), *earlier = loaded
        self.counters.hits += 1
        self.counters.reused_tokens += length
        self.counters.restored_tokens += length
        tokens = saved.tokens.tolist()
        pinned = growing_bytes(layers)
        if saved.kind == "system":
            # Others will want it too.
            whole = Slot(tokens[:held], layers)
            self._insert(whole, layers, pinned, "system", None, is_settled=True)
            layers = snapshot(layers, held, length)
            return Slot(tokens[:length], layers, 1, length, is_copy=True)
        if saved.owner == owner:
            for place, kind, before in reversed(earlier):
                self._insert(Slot(tokens[:place], before), before, pinned, kind, owner)
        cut(layers, held, length)
        return Slot(tokens[:length], layers, 1, length)

    def put(self, slot: Slot, kind: Kind, owner: str | None) -> None:
        """Keep a slot that is not used any more; drop what is worth least beyond the budget.

        Raises `UnknownLayerError` if the layers do not hold just the slot's tokens.
        """
        self._touch()
        if not slot.tokens or (slot.is_copy and len(slot.tokens) == slot.origin):
            return
        check(slot.layers, len(slot.tokens))
        evaluate(slot.layers)
        self._insert(slot, slot.layers, growing_bytes(slot.layers), kind, owner)

    def checkpoint(self, slot: Slot, kind: Kind, owner: str | None) -> None:
        """Keep the slot's state as it is now, while the slot goes on.

        Does nothing where the session's last state can be cut back to this place. Raises
        `UnknownLayerError` if the layers do not hold just the slot's tokens.
        """
        if not slot.tokens or (kind != "system" and stays_cuttable(slot.layers)):
            return
        tokens = np.array(slot.tokens, np.int32)
        for entry in self._entries:
            if entry.kind in _SERVED_BY[kind] and np.array_equal(entry.tokens, tokens):
                entry.clock = self._clock
                return
        held = len(tokens)
        layers = snapshot(slot.layers, held, held)
        # The slot writes on into buffers of its own and leaves these to the snapshot.
        pinned = compact(layers, growing_bytes(layers), growing_bytes(slot.layers))
        self._insert(slot, layers, pinned, kind, owner)

    def shrink(self, max_bytes: int) -> None:
        """Drop what is worth least until at most `max_bytes` bytes are kept."""
        self._evict(max_bytes, None)

    def set_budget(self, budget: int) -> None:
        """Keep at most `budget` bytes from now on."""
        self._budget = budget
        self._evict(budget, None)

    def forget(self, owner: str, *, saved: bool = False) -> None:
        """Drop what only the session `owner` can use, and with `saved` also from disk."""
        for entry in [entry for entry in self._entries if entry.owner == owner]:
            self._remove(entry)
        if saved and self._store:
            self._store.forget(owner)

    def clear(self) -> None:
        """Drop everything from memory."""
        for entry in list(self._entries):
            self._remove(entry)

    def idle(self) -> bool:
        """Do one piece of the work that waits for a quiet time; return whether to call again.

        The pieces are short; call again after something like half a second.
        """
        return self._saver is not None and self._saver.idle(self._entries)

    def flush(self, seconds: float) -> bool:
        """Save what is not saved yet, for at most that long; return whether all of it was."""
        return self._saver is None or self._saver.flush(self._entries, seconds)

    def _touch(self) -> None:
        if self._saver is not None:
            self._saver.touch()

    def _best(self, prompt: TokenArray, limit: int, owner: str | None) -> tuple[Entry | None, int]:
        found = [(entry.usable(prompt, limit), entry) for entry in self._entries]

        def rank(pair: tuple[int, Entry]) -> tuple[int, bool]:
            length, entry = pair
            return length, entry.kind == "session" and entry.owner == owner is not None

        length, best = max(found, key=rank, default=(0, None))
        return (best, length) if length else (None, 0)

    def _insert(
        self,
        slot: Slot,
        layers: Layers,
        pinned: int,
        kind: Kind,
        owner: str | None,
        *,
        is_settled: bool = False,
    ) -> None:
        entry = Entry(
            np.array(slot.tokens, np.int32),
            layers,
            kind,
            None if kind == "system" else owner,
            max(1, slot.uses) if kind == "session" else 1,
            self._clock,
            fixed_bytes(layers),
            pinned,
            is_settled=is_settled,
        )
        for other in self._superseded(entry):
            self._remove(other)
        if not stays_cuttable(layers):
            self._carry(entry)
        self._entries.append(entry)
        own = [e for e in self._entries if e.kind == kind and e.owner == entry.owner]
        if len(own) > _KEPT_OF_A_SESSION.get(kind, len(own)):
            self._remove(min((e for e in own if e is not entry), key=self._worth))
        self._evict(self._budget, entry if kind == "session" else None)

    def _superseded(self, new: Entry) -> list[Entry]:
        """Return the entries that serve nothing any more beside the new one."""
        if new.kind != "session":
            return [
                other
                for other in self._entries
                if other.kind == new.kind
                and other.owner == new.owner
                and np.array_equal(other.tokens, new.tokens)
            ]
        cuttable = stays_cuttable(new.layers)
        gone: list[Entry] = []
        for other in self._entries:
            if other.kind == "system":
                # It must be there for others while the session is in use, or after it has gone.
                continue
            shared = common_prefix(other.tokens, new.tokens)
            covered = cuttable and shared == len(other.tokens) and other.owner in (None, new.owner)
            is_own = other.kind == "session" and other.owner == new.owner is not None
            earlier = is_own and 2 * shared >= len(other.tokens)
            if covered or earlier:
                gone.append(other)
        return gone

    def _carry(self, entry: Entry) -> None:
        """Let the beginnings of `entry` that are kept for themselves use its buffers."""
        shared: dict[int, Layers] = {}
        for index, other in enumerate(self._entries):
            length = len(other.tokens)
            if length > len(entry.tokens) or common_prefix(other.tokens, entry.tokens) < length:
                continue
            layers = share(other.layers, length, entry.layers)
            if layers is not None:
                shared[index] = layers
        changed = {index: self._entries[index] for index in shared}
        for index, other in changed.items():
            self._release(other, changed.values())
            other.layers, other.carrier = shared[index], entry

    def _remove(self, entry: Entry) -> None:
        self._entries.remove(entry)
        if self._saver is not None:
            self._saver.leave(entry)
        self._release(entry)

    def _release(self, entry: Entry, leaving: Iterable[Entry] = ()) -> None:
        """Let the longest beginning that used the buffers of `entry` keep them for the others.

        Those in `leaving` are about to use other buffers.
        """
        gone = {id(other) for other in leaving}
        carried = [e for e in self._entries if e.carrier is entry and id(e) not in gone]
        if not carried:
            return
        heir = max(carried, key=lambda other: len(other.tokens))
        heir.carrier = None
        heir.pinned = compact(heir.layers, growing_bytes(heir.layers), entry.pinned)
        for other in carried:
            if other is heir:
                continue
            layers = share(other.layers, len(other.tokens), heir.layers)
            assert layers is not None  # both were cut out of the same tensors
            other.layers, other.carrier = layers, heir

    def _evict(self, max_bytes: int, kept: Entry | None) -> None:
        while self.nbytes > max_bytes:
            candidates = [entry for entry in self._entries if entry is not kept]
            if not candidates:
                return
            system = sum(entry.nbytes for entry in self._entries if entry.kind == "system")
            spare_system = system * _SYSTEM_SHARE <= self._budget
            worth = {id(entry): self._worth(entry) for entry in candidates}
            victim = min(
                candidates,
                key=lambda entry: (spare_system and entry.kind == "system", worth[id(entry)]),
            )
            self._clock = max(self._clock, worth[id(victim)])
            self._remove(victim)
            self.counters.evictions += 1

    def _worth(self, entry: Entry) -> float:
        length = len(entry.tokens)
        others = (e.usable(entry.tokens, length) for e in self._entries if e is not entry)
        cost = length - max(others, default=0)
        return entry.clock + entry.uses * cost / max(1, entry.nbytes >> 10)
