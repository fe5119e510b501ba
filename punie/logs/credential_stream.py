"""Credentials in a text that comes in pieces, however they are split."""

from collections.abc import Iterable

from punie.logs.credentials import KEY_HEADER, TRIGGERS, Credentials, private_keys

_LONGEST_HELD = 64_000
_LONGEST_HEADER = 200
"""After so many characters it shows whether a key follows its header."""
_LONGEST_END = 80
_HEADER_NAME = "authorization"


class CredentialStream:
    """Masks a growing text as `Credentials.text` would mask the whole, piece by piece.

    What may become a credential with the next piece is held back: a word that could be one, a key
    without its end, a line with an authorization. All else is passed on at once.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._held = self._before = ""
        self._full = False

    def feed(self, text: str) -> str:
        """Take the next piece and return what can be shown by now, masked.

        A text that has to be held back without end is given up: nothing more of it is shown.
        """
        if self._full:
            return ""
        self._held += text
        cut = self._cut()
        if len(self._held) - cut > _LONGEST_HELD:
            self._full = True
            cut = len(self._held)
        ready, self._held = self._held[:cut], self._held[cut:]
        return self._masked(ready)

    def flush(self) -> str:
        """Return what was held back; the text has ended."""
        ready, self._held = self._held, ""
        return self._masked(ready)

    def _masked(self, ready: str) -> str:
        # Whether a credential can begin here depends on the character before.
        before, self._before = self._before, ready[-1:] or self._before
        return self._credentials.text(before + ready)[len(before) :]

    def _cut(self) -> int:
        """Return up to where no credential can begin that is not there as a whole."""
        held = self._held
        cut = min(self._open_key(), self._open_line(), self._open_value())
        word = _word_start(held, len(held))
        if any(trigger in held[word:] for trigger in TRIGGERS) or _begun(held, TRIGGERS):
            cut = min(cut, word)
        return self._outside(cut)

    def _open_key(self) -> int:
        held = self._held
        whole = len(held) - _begun(held, (KEY_HEADER,))
        at = held.rfind(KEY_HEADER)
        if at < 0:
            return whole
        end = next((end for start, end in private_keys(held, at) if start == at), None)
        if end is None:
            return at if len(held) - at < _LONGEST_HEADER else whole
        closing = held[end:].startswith("-") and len(held) - end < _LONGEST_END
        return at if (end == len(held) and not held.endswith("-----")) or closing else whole

    def _open_line(self) -> int:
        held = self._held
        line = held.rfind("\n") + 1
        last = held[line:].lower()
        return line if _HEADER_NAME in last or _begun(last, (_HEADER_NAME,)) else len(held)

    def _open_value(self) -> int:
        held = self._held
        partly = _begun(held, self._credentials.values)
        return _word_start(held, len(held) - partly) if partly else len(held)

    def _outside(self, cut: int) -> int:
        """Move a cut that would fall into a credential to where that begins."""
        held = self._held
        keys = list(private_keys(held)) if KEY_HEADER in held else []
        while True:
            before = cut
            cut = next((start for start, end in keys if start < cut < end), cut)
            for value in self._credentials.values:
                # One that spans the cut begins less than its length before it.
                at = held.find(value, max(cut - len(value) + 1, 0), cut + len(value) - 1)
                if 0 <= at < cut:
                    cut = at
            if cut == before:
                return cut


def _word_start(text: str, end: int) -> int:
    while end > 0 and not text[end - 1].isspace():
        end -= 1
    return end


def _begun(text: str, beginnings: Iterable[str]) -> int:
    """Return how many characters at the end of a text begin one of these, at most."""
    most = 0
    for whole in beginnings:
        tail = text[-(len(whole) - 1) :] if len(whole) > 1 else ""
        at = tail.find(whole[0])
        while at >= 0:
            if whole.startswith(tail[at:]):
                most = max(most, len(tail) - at)
                break
            at = tail.find(whole[0], at + 1)
    return most
