"""Credentials in texts: values that are known to be secret, and what has the shape of one.

Source code is full of names such as `token` and `password`, so names say nothing here. A text that
a model edits must stay as it is wherever it is not a credential.
"""

import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MASK = "***"

_SECRET_WORDS = {
    *("apikey", "auth", "authorization", "bearer", "cookie", "cookies", "credential"),
    *("credentials", "jwt", "passphrase", "passwd", "password", "pwd", "secret", "secrets"),
    "token",
}
_KEY_OWNERS = {"api", "access", "private", "secret", "signing", "encryption", "client"}
_NO_SECRETS = {"PWD", "OLDPWD", "SSH_AUTH_SOCK", "SSH_ASKPASS", "GIT_ASKPASS", "XAUTHORITY"}
"""Variables that sound like secrets and hold paths, among them the project's own."""
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_SHORTEST_VALUE = 8
_SHORTEST_WORD = 16
"""Letters of one case alone are taken for a word up to here: `development`, `changeme`."""
_SHORTEST_LINE = 20

_ASSIGNMENT = re.compile(
    r"""[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.-]*)[ \t]*[=:][ \t]*
    (?:"((?:[^"\\]|\\.)*+)"|'([^']*+)'|([^\s\#][^\n]*?)[ \t]*(?:[ \t]\#[^\n]*)?$)""",
    re.VERBOSE | re.MULTILINE,
)

# A header alone, as code that looks for one has it, is followed by something else than a key.
_PRIVATE_KEY = re.compile(
    r"""-----BEGIN[ ][A-Z0-9 ]{0,40}PRIVATE[ ]KEY(?:[ ]BLOCK)?-----
    (?=(?:[\s"'+,]|\\[nr]){0,40}(?:\d{1,7}[:\-][ ]?)?(?:[A-Z][\w-]{2,30}:[ ]|[A-Za-z0-9+/=]{6,}))
    (?:[\s"']{0,9}(?:\d{1,7}[:\-][ ]?)?[A-Z][\w-]{2,30}:[ ][^\n]{0,200}+)*+
    (?:[\s"'+,:=/A-Za-z0-9\\]|-(?!----))*+
    (?:-----END[ ][A-Z0-9 ]{0,60}-----)?+""",
    re.VERBOSE,
)
_URL = re.compile(r"://([^/\s:@\"'<>{}\[\]()]{0,200}+):([^/\s@\"'<>{}\[\]()]{1,400}+)@")
_NO_PASSWORD = re.compile(
    r"(?i)\$.*|.*%[s(].*|\*+|\.+|x+|(?:my|your|the|db|some)?[_-]?(?:password|passwd|pass|pwd|pw|"
    r"secret|token|repo|changeme|example|test|postgres|root|admin|user|guest|foo|bar|[a-z])\d{0,3}"
)
_AUTHORIZATION = re.compile(
    r"(?i)(authorization[\"']?[ \t]{0,4}[:=][ \t]{0,4}[\"']?(?:bearer|basic|token)[ \t]{1,4})"
    r"([A-Za-z0-9._~+/=-]{12,}+)"
)
_ACCOUNT_KEY = re.compile(r"((?:AccountKey|SharedAccessKey)=)[A-Za-z0-9+/]{20,}+={0,2}")
_WEBHOOK = re.compile(r"(hooks\.slack\.com/services/)[A-Z0-9]{6,}/[A-Z0-9]{6,}/\w{12,}+")
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{8,}+\.eyJ[\w-]{4,}+\.[\w-]*+")

# Prefixes that providers give their tokens, each with what may follow.
_TOKENS = (
    r"sk-(?:proj-|svcacct-|admin-|or-v1-|ant-[a-z0-9]{1,10}-)?[\w-]{20,}+",
    r"gh[pousr]_[A-Za-z0-9]{20,}+",
    r"github_pat_\w{20,}+",
    r"gl(?:pat|rt|dt|cbt|ptt|oas|ft|soat)-[\w-]{16,}+",
    r"hf_[A-Za-z0-9]{20,}+",
    r"npm_[A-Za-z0-9]{20,}+",
    r"pypi-[\w-]{16,}+",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,}+",
    r"xapp-[A-Za-z0-9-]{20,}+",
    r"A[KS]IA[0-9A-Z]{12,}+",
    r"AIza[\w-]{20,}+",
    r"[srp]k_(?:live|test)_[A-Za-z0-9]{10,}+",
    r"whsec_[A-Za-z0-9]{20,}+",
    r"SG\.[\w-]{16,}+\.[\w-]{16,}+",
    r"do[por]_v1_[0-9a-f]{32,}+",
    r"dckr_[op]at_[\w-]{16,}+",
    r"hv[sb]\.[\w-]{20,}+",
    r"ya29\.[\w-]{20,}+",
    r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{20,}+",
    r"rubygems_[0-9a-f]{30,}+",
    r"AGE-SECRET-KEY-1[0-9A-Z]{20,}+",
    r"lin_api_[A-Za-z0-9]{20,}+",
    r"figd_[\w-]{20,}+",
    r"nvapi-[\w-]{20,}+",
    r"gsk_[A-Za-z0-9]{20,}+",
    r"pplx-[A-Za-z0-9]{20,}+",
    r"r8_[A-Za-z0-9]{20,}+",
)
_TOKEN = re.compile(r"(?<![A-Za-z0-9])(?:" + "|".join(_TOKENS) + ")")
_RUN = re.compile(r"[A-Za-z0-9]{8,}")

TRIGGERS = (
    *("sk-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "hf_", "npm_", "pypi-", "r8_"),
    *("glpat-", "glrt-", "gldt-", "glcbt-", "glptt-", "gloas-", "glft-", "glsoat-", "whsec_"),
    *("xoxa-", "xoxb-", "xoxe-", "xoxo-", "xoxp-", "xoxr-", "xoxs-", "xapp-", "AKIA", "ASIA"),
    *("AIza", "sk_live_", "sk_test_", "rk_live_", "rk_test_", "pk_live_", "pk_test_", "SG."),
    *("dop_v1_", "doo_v1_", "dor_v1_", "dckr_pat_", "dckr_oat_", "hvs.", "hvb.", "ya29."),
    *("shpat_", "shpca_", "shppa_", "shpss_", "rubygems_", "AGE-SECRET-KEY-1", "lin_api_"),
    *("figd_", "nvapi-", "gsk_", "pplx-", "eyJ", "://", "AccountKey=", "SharedAccessKey="),
    "hooks.slack.com/services/",
)
"""How everything begins that `Credentials` masks by its shape within one word."""

KEY_HEADER = "-----BEGIN "


def is_secret_name(name: str) -> bool:
    """Tell whether a key or variable of this name probably holds a secret."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", _CAMEL.sub("_", name)) if word]
    lowered = [word.lower() for word in words]
    if any(word in _SECRET_WORDS for word in lowered):
        return True
    return any(a in _KEY_OWNERS and b in ("key", "keys") for a, b in itertools.pairwise(lowered))


def secret_values(variables: Mapping[str, str]) -> frozenset[str]:
    """Return the values of variables whose names say that they hold secrets.

    Short values, plain words and paths are left out: masking them would only hide other text.
    """
    found: set[str] = set()
    for name, value in variables.items():
        if not is_secret_name(name) or name in _NO_SECRETS:
            continue
        value = value.strip()
        lines = value.splitlines() if "\n" in value else [value]
        found.update(
            line.strip() for line in (value, *lines) if _is_value(line.strip(), whole=line is value)
        )
    return frozenset(found)


def _is_value(value: str, *, whole: bool) -> bool:
    if len(value) < (_SHORTEST_VALUE if whole else _SHORTEST_LINE):
        return False
    one_case = value.isalpha() and (value.islower() or value.isupper())
    if one_case and len(value) < _SHORTEST_WORD:
        return False
    if value.startswith("-----"):
        return whole
    return not (value.startswith(("/", "~/", "./")) and os.path.exists(os.path.expanduser(value)))  # noqa: PTH110, PTH111


def assignments(text: str) -> Iterator[tuple[str, str]]:
    """Yield the names and values of a file of `NAME=value` lines, as `.env` files are."""
    for found in _ASSIGNMENT.finditer(text):
        yield found[1], next((value for value in found.groups()[1:] if value is not None), "")


def private_keys(text: str, start: int = 0) -> Iterator[tuple[int, int]]:
    """Yield where each private key begins and ends in a text."""
    for found in _PRIVATE_KEY.finditer(text, start):
        yield found.span()


class Credentials:
    """Masks known values and what has the shape of a credential; in linear time."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        """Take the values that are to be masked wherever they occur."""
        self.values = tuple(sorted(set(values) - {""}, key=lambda value: (-len(value), value)))

    def text(self, text: str) -> str:
        """Return the text with `***` in place of every credential."""
        for value in self.values:
            # Nearly always there is none, and then this is the fastest way to know it.
            if value in text:
                text = text.replace(value, MASK)
        if "PRIVATE KEY" in text:
            text = _PRIVATE_KEY.sub(MASK, text)
        if "://" in text:
            text = _URL.sub(_masked_url, text)
        text = _AUTHORIZATION.sub(_masked_header, text)
        text = _JWT.sub(MASK, text)
        text = _TOKEN.sub(_masked_token, text)
        if "Key=" in text:
            text = _ACCOUNT_KEY.sub(rf"\1{MASK}", text)
        if "hooks.slack.com" in text:
            text = _WEBHOOK.sub(rf"\1{MASK}", text)
        return text

    def value(self, value: Any) -> Any:
        """Return a value of JSON kinds with every text in it, keys too, masked."""
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {self.text(str(key)): self.value(item) for key, item in value.items()}
            case list() | tuple():
                return [self.value(item) for item in value]
            case _:
                return value


def _masked_url(found: re.Match[str]) -> str:
    user, password = found[1], found[2]
    if _NO_PASSWORD.fullmatch(password):
        return found[0]
    # A token may stand where the user does.
    shown = user if len(user) < _SHORTEST_WORD or not _is_mixed(user) else MASK
    return f"://{shown}:{MASK}@"


def _masked_header(found: re.Match[str]) -> str:
    random = _is_mixed(found[2]) or any(map(str.isdigit, found[2]))
    return f"{found[1]}{MASK}" if random else found[0]


def _masked_token(found: re.Match[str]) -> str:
    return MASK if _is_mixed(found[0]) else found[0]


def _is_mixed(text: str) -> bool:
    """Tell whether a part of the text is as random as tokens are, and no words."""
    return any(
        not run.isalpha() or not (run.islower() or run.isupper() or run.istitle())
        for run in _RUN.findall(text)
        if not run.isdigit() or len(run) > _SHORTEST_WORD
    )


BY_SHAPE = Credentials()
"""Masks what has the shape of a credential."""
