"""Takes secrets out of what is logged: credentials, and whatever stands behind a telling name."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from punie.logs.credentials import MASK, Credentials, is_secret_name, secret_values

LONGEST_TEXT = 4_000
"""Characters of one value that are kept; the log is for diagnosis, not for contents."""
_DEEPEST = 6
_MOST_ITEMS = 100

_NAMES_AND_VALUES = {"env", "environ", "environment", "headers"}
_NEVER_LOGGED = {"params", "proxyconfig"}
"""Raw protocol parameters carry the tokens of the client's own services."""

_NAME = r"(?:[\w-]*(?:key|token|secret|password|passwd|pwd|credentials?|authorization|cookie))"
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)", re.S), MASK),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), rf"\1 {MASK}"),
    (re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"), MASK),
    (re.compile(rf"(?i)\b({_NAME}[\"']?\s*[=:]\s*)\"(?:[^\"\\]|\\.)*\""), rf'\1"{MASK}"'),
    (re.compile(rf"(?i)\b({_NAME}[\"']?\s*[=:]\s*)'(?:[^'\\]|\\.)*'"), rf"\1'{MASK}'"),
    # `Authorization: Bearer …` is two words, and the shape above has taken the second already.
    (
        re.compile(rf"(?i)\b({_NAME}[\"']?\s*[=:]\s*)(?!bearer |basic )[^\s\"',;&)}}\]]+"),
        rf"\1{MASK}",
    ),
    (
        re.compile(
            r"\b(?:sk-|sk_|pk_|rk_|ghp_|gho_|ghs_|ghu_|github_pat_|glpat-|hf_|pypi-|xox[abposr]-"
            r"|AKIA|ASIA|AIza)[\w-]{12,}"
        ),
        MASK,
    ),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"), MASK),
    (
        re.compile(
            r"(?i)\b(token|key|secret|password|passphrase|credentials?|jwt)\b([^\n\w]{0,3}"
            r"(?:is|was|of|value)?[^\n\w]{0,3})[a-z0-9+/_=-]{16,}"
        ),
        rf"\1\2{MASK}",
    ),
)


class Masker:
    """Copies values of JSON kinds with every secret masked.

    Values of `environment` whose names look secret are masked wherever they turn up. More is masked
    than in what a model reads: here nothing has to be edited.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._credentials = Credentials(secret_values(environment))

    def text(self, value: str) -> str:
        """Mask what looks like a secret in a text, and cut the text when it is very long."""
        cut = len(value) - LONGEST_TEXT
        # The first cut leaves room for a secret across the second to be recognised whole.
        value = value[: LONGEST_TEXT + 1_000]
        value = self._credentials.text(value)
        for pattern, replacement in _SHAPES:
            value = pattern.sub(replacement, value)
        if cut > 0:
            value = f"{value[:LONGEST_TEXT]}… ({cut} characters more)"
        return value

    def mask(self, value: Any, depth: int = 0) -> Any:
        """Mask a value and all in it; what is nested too deep or too long is left out."""
        match value:
            case None | bool() | int() | float():
                return value
            case str():
                return self.text(value)
            case bytes():
                return f"<{len(value)} bytes>"
            case Mapping() | Sequence() | set() | frozenset() if depth >= _DEEPEST:
                return "…"
            case Mapping():
                items = list(value.items())[:_MOST_ITEMS]
                return {str(key): self._field(str(key), item, depth) for key, item in items}
            case Sequence() | set() | frozenset():
                return [self.mask(item, depth + 1) for item in list(value)[:_MOST_ITEMS]]
            case _:
                return self.text(str(value))

    def _field(self, key: str, value: Any, depth: int) -> Any:
        if isinstance(value, bool | int | float | None):
            return value
        if is_secret_name(key) or key.lower() in _NEVER_LOGGED:
            return MASK
        if key.lower() in _NAMES_AND_VALUES:
            return _names_only(value)
        return self.mask(value, depth + 1)


def _names_only(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): MASK for name in value}
    if isinstance(value, list | tuple):
        return [
            {"name": str(item.get("name")), "value": MASK} if isinstance(item, Mapping) else MASK
            for item in value
        ]
    return MASK
