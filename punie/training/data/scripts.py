"""Which scripts (Latin, Cyrillic, CJK, ...) a text is written in."""

import functools
import unicodedata
from collections import Counter

LATIN = "LATIN"

_NAMES = """
ARABIC ARMENIAN BENGALI CJK CYRILLIC DEVANAGARI ETHIOPIC GEORGIAN GREEK GUJARATI GURMUKHI HANGUL
HEBREW HIRAGANA KANNADA KATAKANA KHMER LAO LATIN MALAYALAM MONGOLIAN MYANMAR ORIYA SINHALA TAMIL
TELUGU THAI TIBETAN
"""
_SCRIPTS = frozenset(_NAMES.split())
_MICRO_SIGN = "\N{MICRO SIGN}"


def known_scripts() -> list[str]:
    """Return the names of the scripts that are told apart; all others are OTHER."""
    return sorted({*_SCRIPTS, "OTHER"})


def script_shares(text: str) -> dict[str, float]:
    """Return the share of a text's letters that each script has; empty for a text without letters.

    A letter's script is told by its Unicode name; the micro sign, a letter by name only, is Latin.
    """
    if text.isascii():
        return {LATIN: 1.0} if any(map(str.isalpha, text)) else {}
    counts = Counter(map(_script, filter(str.isalpha, text)))
    total = counts.total()
    return {name: count / total for name, count in sorted(counts.items())}


@functools.lru_cache(maxsize=65_536)
def _script(letter: str) -> str:
    words = unicodedata.name(letter, "OTHER").split()
    for word in words:
        if word in _SCRIPTS:
            return word
    # Compatibility forms, such as mathematical ones, are those of the letters that they stand for.
    plain = unicodedata.normalize("NFKC", letter)
    if letter == _MICRO_SIGN:
        return LATIN
    if plain != letter and len(plain) == 1:
        return _script(plain)
    return LATIN if plain.isascii() or words[0] == "MODIFIER" else "OTHER"
