"""How deeply code is nested, known before it is parsed.

libcst goes down one call for every level of brackets and operators. A file with thousands of them,
which nobody writes by hand, would overflow the stack and so end this process.
"""

import re
from dataclasses import dataclass

MAX_BRACKETS = 200
"""Python itself takes no more."""

MAX_PATTERN_BRACKETS = 5
"""In a `case`, where libcst takes five times as long for each, and nothing else runs meanwhile."""

MAX_CHAIN = 1_000
"""Words and signs that hang together, those around open brackets included; `elif`s in a row."""

_TOKEN = re.compile(
    r"""(?P<space>[ \t\f]+|\\\r?\n|\#[^\r\n]*)
    |(?P<newline>\r\n?|\n)
    |(?P<string>(?P<prefix>[A-Za-z]{0,2})(?P<quote>\"{3}|'{3}|"|'))
    |(?P<open>[(\[{])
    |(?P<close>[)\]}])
    |(?P<word>\w+)
    |(?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)
_END_OF_STRING = {
    '"': re.compile(r'(?:[^\\"\r\n]|\\.)*"', re.DOTALL),
    "'": re.compile(r"(?:[^\\'\r\n]|\\.)*'", re.DOTALL),
    '"""': re.compile(r'(?:[^\\"]|\\.|"(?!""))*"""', re.DOTALL),
    "'''": re.compile(r"(?:[^\\']|\\.|'(?!''))*'''", re.DOTALL),
}
_LITERAL = re.compile(r"[^\\{}'\"\r\n]+")
_BLOCKS = {"(": ")", "[": "]", "{": "}"}


@dataclass
class _Level:
    """What is open: a bracket, a field of an f-string, or, with no `end`, the file itself."""

    end: str = ""
    field: bool = False
    chain: int = 0
    lambdas: int = 0
    """Whose parameters have not ended: commas between them end nothing else."""
    loops: bool = False
    """In a comprehension each part is inside of the one before, whatever commas there are."""


@dataclass(frozen=True)
class _Text:
    """The inside of an f-string; with `spec` what is behind a colon in one of its fields."""

    quote: str
    raw: bool
    spec: bool = False


class _TooDeepError(Exception):
    pass


def is_too_deep(text: str) -> bool:
    """Tell whether code may be too deeply nested to be parsed; so may what is no code at all."""
    try:
        _Scan(text).run()
    except _TooDeepError:
        return True
    return False


class _Scan:
    """One way through a text, string literals told apart as Python 3.14 does."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._open: list[_Level | _Text] = [_Level()]
        self._chain = 0
        self._indent: str | None = ""
        self._elifs: dict[str, int] = {}
        self._brackets = MAX_BRACKETS

    def run(self) -> None:
        while self._at < len(self._text):
            top = self._open[-1]
            if isinstance(top, _Text):
                self._literal(top)
            else:
                self._token(top)

    def _token(self, level: _Level) -> None:
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            raise _TooDeepError
        self._at = match.end()
        kind, token = match.lastgroup, match[0]
        if match["quote"]:
            self._string(level, match["prefix"].lower(), match["quote"])
        elif kind == "newline":
            if len(self._open) == 1:
                self._cut(level)
                self._indent, self._brackets = "", MAX_BRACKETS
            return
        elif kind == "space":
            if self._indent is not None:
                self._indent = "" if token[0] == "#" else token
            return
        elif kind == "open":
            self._count(level)
            self._indent = None
            self._push(_Level(_BLOCKS[token]))
        elif kind == "close":
            if token != level.end:
                raise _TooDeepError
            self._chain -= level.chain
            self._open.pop()
        elif kind == "word":
            self._word(level, token)
        else:
            self._sign(level, token)
        self._indent = None

    def _word(self, level: _Level, word: str) -> None:
        self._count(level)
        if word == "lambda":
            level.lambdas += 1
        elif word == "for" and level.end:
            level.loops = True
        elif self._indent is not None and word == "case":
            self._brackets = MAX_PATTERN_BRACKETS
        elif self._indent is not None and word in ("if", "elif"):
            elifs = self._elifs.get(self._indent, 0) + 1 if word == "elif" else 0
            self._elifs[self._indent] = elifs
            if elifs > MAX_CHAIN:
                raise _TooDeepError

    def _sign(self, level: _Level, sign: str) -> None:
        if sign == ":" and level.field:
            text = self._open[-2]
            assert isinstance(text, _Text)
            self._push(_Text(text.quote, text.raw, spec=True))
        elif sign == ":" and level.lambdas:
            level.lambdas -= 1
        elif sign in ",;" and not level.lambdas and not level.loops:
            self._cut(level)
        else:
            self._count(level)

    def _string(self, level: _Level, prefix: str, quote: str) -> None:
        self._count(level)
        if "f" in prefix or "t" in prefix:
            self._push(_Text(quote, "r" in prefix))
            return
        end = _END_OF_STRING[quote].match(self._text, self._at)
        if end is None:
            raise _TooDeepError
        self._at = end.end()

    def _literal(self, text: _Text) -> None:
        """Go on by one piece of an f-string, up to its end or the next of its fields."""
        rest = self._text
        plain = _LITERAL.match(rest, self._at)
        if plain is not None:
            self._at = plain.end()
            return
        sign, pair = rest[self._at], rest[self._at : self._at + 2]
        if rest.startswith(text.quote, self._at) and not text.spec:
            self._at += len(text.quote)
            self._open.pop()
        elif sign == "\\" and pair[1:] not in ("{", "}"):
            named = not text.raw and rest.startswith("\\N{", self._at)
            end = rest.find("}", self._at) if named else self._at + 1
            if end < 0:
                raise _TooDeepError
            self._at = end + 1
        elif pair in ("{{", "}}") and not text.spec:
            self._at += 2
        elif sign == "{":
            self._at += 1
            self._push(_Level("}", field=True))
        elif sign == "}" and text.spec:
            self._at += 1
            self._open.pop()
            field = self._open.pop()
            assert isinstance(field, _Level)
            self._chain -= field.chain
        elif sign == "}" or sign in ("\r\n" if len(text.quote) == 1 else "") + "'\"" * text.spec:
            raise _TooDeepError
        else:
            self._at += 1

    def _push(self, opened: _Level | _Text) -> None:
        self._open.append(opened)
        if len(self._open) - 1 > self._brackets:
            raise _TooDeepError

    def _count(self, level: _Level) -> None:
        level.chain += 1
        self._chain += 1
        if self._chain > MAX_CHAIN:
            raise _TooDeepError

    def _cut(self, level: _Level) -> None:
        self._chain -= level.chain
        level.chain = level.lambdas = 0
