"""Takes secrets out of what is logged: by key, by shape and by what the environment holds."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

MASK = "***"
LONGEST_TEXT = 4_000
"""Characters of one value that are kept; the log is for diagnosis, not for contents."""
_DEEPEST = 6
_MOST_ITEMS = 100

_SECRET_WORDS = {
    *("apikey", "auth", "authorization", "bearer", "cookie", "cookies", "credential"),
    *(
        "credentials",
        "jwt",
        "passphrase",
        "passwd",
        "password",
        "pwd",
        "secret",
        "secrets",
        "token",
    ),
}
_KEY_OWNERS = {"api", "access", "private", "secret", "signing", "encryption", "client"}
_FOLDERS = {"PWD", "OLDPWD", "SSH_AUTH_SOCK"}
"""Variables that sound like secrets and hold paths, among them the project's own."""
_NAMES_AND_VALUES = {"env", "environ", "environment", "headers"}
_NEVER_LOGGED = {"params", "proxyconfig"}
"""Raw protocol parameters carry the tokens of the client's own services."""
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

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


def is_secret_name(name: str) -> bool:
    """Tell whether a key or variable of this name probably holds a secret."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", _CAMEL.sub("_", name)) if word]
    lowered = [word.lower() for word in words]
    if any(word in _SECRET_WORDS for word in lowered):
        return True
    return any(a in _KEY_OWNERS and b in ("key", "keys") for a, b in itertools.pairwise(lowered))


class Masker:
    """Copies values of JSON kinds with every secret masked.

    Values of `environment` whose names look secret are masked wherever they turn up.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        known = {
            value
            for name, value in environment.items()
            if is_secret_name(name) and name not in _FOLDERS and len(value) >= 8
        }
        longest_first = sorted(known, key=len, reverse=True)
        self._literal = re.compile("|".join(map(re.escape, longest_first))) if known else None

    def text(self, value: str) -> str:
        """Mask what looks like a secret in a text, and cut the text when it is very long."""
        cut = len(value) - LONGEST_TEXT
        # The first cut leaves room for a secret across the second to be recognised whole.
        value = value[: LONGEST_TEXT + 1_000]
        if self._literal is not None:
            value = self._literal.sub(MASK, value)
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
