"""From the tools of a session to one grammar for what follows the opening marker of a call.

The grammar is written in llguidance's Lark dialect. It covers everything up to and including the
control token that closes the call:

- XML, as Qwen3-Coder and Qwen3.5 write it: `<function=NAME>`, one `<parameter=KEY>` element for
  each argument, `</function>`. A raw value ends at the first closer after which the call goes on
  as a call does, so closers that mean nothing may stand in a value.
- JSON, as Qwen3 and Qwen2.5 write it: `{"name": NAME, "arguments": {...}}`.

Arguments may come in any order, none twice, and all that are required. The set of those that were
given is the parameter of a rule, as llguidance's parametric grammars allow it.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

from punie.models.mlx.chat.calls import ToolSchemas
from punie.models.mlx.chat.parser import CallSyntax
from punie.models.mlx.guidance.value_grammar import (
    CLOSE_PARAMETER,
    BoundedText,
    Check,
    JsonText,
    RawText,
    Schema,
    Value,
    ValueRule,
    expand,
    grammar_error,
    json_value,
    literal,
    xml_value,
)

MOST_PARAMETERS = 60
"""Parameters of one tool that the grammar can tell apart; optional ones beyond are left out."""

SPACE = r"[\t-\r\x1c-\x20\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
"""What Python's `\\s` matches, for Rust's regular expressions, where it matches less."""

_OPEN_NAME = r"/<parameter=[A-Za-z_][A-Za-z0-9_.-]*>\n/"
_WHOLE_OBJECT = frozenset(
    {"if", "not", "patternProperties", "dependentRequired", "dependentSchemas", "propertyNames"}
    | {"minProperties", "maxProperties", "anyOf", "oneOf"}
)
"""Keywords about the arguments as a whole, which only llguidance's own JSON rules know."""


@dataclass(frozen=True)
class Markers:
    """Ids of the control tokens around calls; `ends` are those that end the turn."""

    opening: int
    closing: int
    ends: tuple[int, ...]


@dataclass(frozen=True)
class Grammar:
    """A grammar as Lark text, and a sentence for each part of the schemas that it leaves out."""

    lark: str
    problems: tuple[str, ...]


class GrammarError(ValueError):
    """No grammar can be made for the tools; the text says why."""


def call_grammar(
    tools: ToolSchemas, syntax: CallSyntax, markers: Markers, check: Check, *, bare: bool = False
) -> Grammar:
    """Return the grammar of a call of one of `tools`.

    `bare` is for an XML call without the opening marker: the grammar then begins with the token
    in which `<function=` begins, and the call may also end with the turn or before a next call.
    `check` tells what is wrong with a Lark grammar. Raises `GrammarError`.
    """

    def build(value_check: Check | None) -> Grammar:
        if syntax == "xml":
            return _XmlGrammar(markers, bare).build(tools, value_check)
        return _JsonGrammar(markers).build(tools, value_check)

    grammar = build(None)
    if check(grammar.lark):
        # Something in the schemas is refused: look at each value by itself.
        grammar = build(check)
        if error := check(grammar.lark):
            raise GrammarError(grammar_error(error))
    return grammar


@dataclass(frozen=True)
class _Parameter:
    name: str
    rule: ValueRule


@dataclass(frozen=True)
class _Function:
    """A tool for the grammar; the first `required` parameters are required.

    `others` is the rule for arguments that the schema allows but does not name.
    """

    name: str
    parameters: tuple[_Parameter, ...]
    required: int
    others: ValueRule | None = None

    @property
    def complete(self) -> str:
        """The condition that all required arguments were given, as a suffix of an alternative."""
        return f" %if is_ones([0:{self.required}])" if self.required else ""


_ValueFactory = Callable[[Any, Schema, Check | None], Value]


@dataclass
class _Reader:
    """Reads tool schemas and notes what it had to leave out."""

    value: _ValueFactory
    is_writable: Callable[[str], bool]
    check: Check | None
    problems: list[str] = field(default_factory=list)

    def functions(self, tools: ToolSchemas) -> Iterator[_Function]:
        for name, schema in tools.items():
            if self.is_writable(name):
                yield self._function(name, schema)
            else:
                self.problems.append(f"The tool {name!r} has a name that cannot be written.")

    def _function(self, name: str, schema: Schema) -> _Function:
        branches = expand(schema, schema)
        properties: dict[str, Any] = {}
        for branch in branches:
            properties.update(branch.get("properties") or {})
        needed = [set(branch.get("required") or ()) for branch in branches]
        required = [key for key in dict.fromkeys(_names(branches)) if all(key in n for n in needed)]
        extra = branches[0].get("additionalProperties")
        others = extra if isinstance(extra, dict) else {}
        optional = [key for key in properties if key not in required]
        parameters = [
            _Parameter(key, self._rule(name, key, properties.get(key, others), schema))
            for key in [*required, *optional][:MOST_PARAMETERS]
            if self._is_offered(name, key, properties.get(key, others))
        ]
        if len(required) + len(optional) > MOST_PARAMETERS:
            self.problems.append(f"The tool {name!r} has more parameters than can be offered.")
        is_open = not parameters and extra not in (None, False)
        if len(required) > MOST_PARAMETERS:
            self.problems.append(f"The tool {name!r} requires more parameters than can be counted.")
            parameters, is_open = [], True
        given = {parameter.name for parameter in parameters}
        return _Function(
            name,
            tuple(parameters),
            sum(key in given for key in required),
            self._rule(name, "any", others, schema) if is_open else None,
        )

    def _is_offered(self, tool: str, key: str, schema: Any) -> bool:
        if schema is False:
            return False
        if not self.is_writable(key):
            self.problems.append(f"The tool {tool!r} has a parameter {key!r} that has no form.")
            return False
        return True

    def _rule(self, tool: str, key: str, schema: Any, root: Schema) -> ValueRule:
        value = self.value(schema, root, self.check)
        if value.problem:
            self.problems.append(f"{tool}({key}) is checked less than asked for: {value.problem}")
        return value.rule


def _names(branches: Sequence[Schema]) -> Iterator[str]:
    for branch in branches:
        yield from map(str, branch.get("required") or ())


class _XmlGrammar:
    """Writes the grammar of XML calls.

    Each raw value is one lazy lexeme together with its closer and what follows that: the lexer
    takes the first of them that is complete, which is the rule by which the parser reads.
    """

    def __init__(self, markers: Markers, bare: bool) -> None:
        closing = f"<[{markers.closing}]>"
        if bare:
            ends = [markers.closing, markers.opening, *markers.ends]
            self._start = 'start: BEFORE? "<function=" function\nBEFORE: /[^<]+/'
            self._end = f"end: SPACES? <[{','.join(map(str, ends))}]>"
            self._finish = 'finish: "</function>" end'
        else:
            self._start = 'start: "\\n<function=" function'
            self._end = f"end: SPACES? {closing}"
            self._finish = f'finish: "</function>\\n" {closing}'
        self._lines: list[str] = []
        self._followers: dict[str, str] = {}

    def build(self, tools: ToolSchemas, check: Check | None) -> Grammar:
        reader = _Reader(xml_value, _fits_in_tag, check)
        functions = list(reader.functions(tools))
        heads = [self._add(index, function) for index, function in enumerate(functions)]
        if not heads:
            raise GrammarError("none of the tools has a name that can be written")
        lines = [
            self._start,
            "function: " + "\n  | ".join(heads),
            *self._lines,
            self._finish,
            self._end,
            f"SPACES: /{SPACE}+/",
            f"SPACE: /{SPACE}*/",
            "TEXT: /(?s:.*)/",
            f"closed[lazy]: CLOSED\nCLOSED: TEXT {literal(CLOSE_PARAMETER)}",
            'last[lazy]: LAST\nLAST: CLOSED SPACE "</function>"',
        ]
        for name, rule in self._followers.items():
            tag = literal(f"<parameter={name}>")
            lines.append(f"{rule}[lazy]: {rule.upper()}\n{rule.upper()}: CLOSED SPACE {tag}")
        return Grammar("\n".join(lines) + "\n", tuple(reader.problems))

    def _add(self, index: int, function: _Function) -> str:
        """Add the rules of one tool and return how a call of it begins."""
        head = literal(function.name + ">\n")
        if function.others is not None:
            self._add_open(index, function.others)
            return f"{head} next{index}"
        if not function.parameters:
            return f"{head} finish"
        following = [f"finish{function.complete}"]
        in_raw = [f"last after{index}::_{function.complete}"]
        for number, parameter in enumerate(function.parameters):
            free = f" %if bit_clear({number})"
            tag = literal(f"<parameter={parameter.name}>")
            value = self._value(index, number, parameter.rule)
            following.append(f"{tag} {value}{free}")
            in_raw.append(f"{self._follower(parameter.name)} {value}{free}")
        self._lines.append(f"next{index}::_: " + "\n  | ".join(following))
        if any(isinstance(parameter.rule, RawText) for parameter in function.parameters):
            self._lines.append(f"raw{index}::_: " + "\n  | ".join(in_raw))
            self._lines.append(f"after{index}::_: end | raw{index}::_")
        return f"{head} next{index}::0"

    def _value(self, index: int, number: int, rule: ValueRule) -> str:
        """Return what follows the tag of a parameter, up to the state after it."""
        if isinstance(rule, RawText):
            return f'"\\n" raw{index}::set_bit({number})'
        name = f"value{index}_{number}"
        self._add_bounded(name, rule)
        return f"{name} next{index}::set_bit({number})"

    def _add_open(self, index: int, rule: ValueRule) -> None:
        """Add the rules of a tool whose arguments have no fixed names."""
        if isinstance(rule, RawText):
            self._lines.append(f'value{index}_0: closed "\\n"')
        else:
            self._add_bounded(f"value{index}_0", rule, newline="")
        self._lines.append(f"next{index}: ({_OPEN_NAME} value{index}_0)* finish")

    def _add_bounded(self, name: str, rule: ValueRule, newline: str = '"\\n" ') -> None:
        match rule:
            case RawText():
                raise AssertionError("raw text has no bounds")
            case JsonText(schema):
                closer = literal(f"\n{CLOSE_PARAMETER}\n")
                self._lines.append(f"{name}: {newline}%json {schema} {closer}")
            case BoundedText(words, patterns):
                options = [literal(f"{word}\n{CLOSE_PARAMETER}") for word in words]
                for number, pattern in enumerate(patterns):
                    terminal = f"{name}_{number}"
                    options.append(terminal)
                    self._lines.append(
                        f"{terminal}[lazy]: {terminal.upper()}\n"
                        f"{terminal.upper()}: {pattern} {literal(f'{chr(10)}{CLOSE_PARAMETER}')}"
                    )
                self._lines.append(f'{name}: {newline}({" | ".join(options)}) "\\n"')
            case _:
                assert_never(rule)

    def _follower(self, name: str) -> str:
        return self._followers.setdefault(name, f"follow{len(self._followers)}")


def _fits_in_tag(name: str) -> bool:
    return bool(name) and name == name.strip() and not set("<>\r\n") & set(name)


class _JsonGrammar:
    """Writes the grammar of JSON calls."""

    def __init__(self, markers: Markers) -> None:
        self._closing = f"<[{markers.closing}]>"
        self._lines: list[str] = []

    def build(self, tools: ToolSchemas, check: Check | None) -> Grammar:
        reader = _Reader(json_value, bool, check)
        heads = []
        for index, function in enumerate(reader.functions(tools)):
            whole = self._whole(tools[function.name], function, check)
            name = literal(f'"{_json_name(function.name)}", "arguments": ')
            heads.append(f"{name} {self._add(index, function, whole)}")
        if not heads:
            raise GrammarError("none of the tools has a name that can be written")
        lines = [
            f'start: "\\n{{\\"name\\": " call "}}\\n" {self._closing}',
            "call: " + "\n  | ".join(heads),
            *self._lines,
        ]
        return Grammar("\n".join(lines) + "\n", tuple(reader.problems))

    def _whole(self, schema: Schema, function: _Function, check: Check | None) -> ValueRule | None:
        """Return a rule for all arguments at once, where their schema needs one."""
        if function.others is None and not _WHOLE_OBJECT & schema.keys():
            return None
        value = json_value({"type": "object", **schema}, schema, check)
        return value.rule if function.others is not None or not value.problem else None

    def _add(self, index: int, function: _Function, whole: ValueRule | None) -> str:
        """Add the rules of one tool and return how its arguments are written."""
        if whole is not None:
            return _json(whole)
        if not function.parameters:
            return '"{}"'
        first = [f'"}}"{function.complete}']
        following = [f'"}}"{function.complete}']
        for number, parameter in enumerate(function.parameters):
            name = f"value{index}_{number}"
            self._lines.append(f"{name}: {_json(parameter.rule)}")
            key = f'"{_json_name(parameter.name)}": '
            rest = f"{name} more{index}::set_bit({number}) %if bit_clear({number})"
            first.append(f"{literal(key)} {rest}")
            following.append(f"{literal(', ' + key)} {rest}")
        self._lines.append(f"any{index}::_: " + "\n  | ".join(first))
        self._lines.append(f"more{index}::_: " + "\n  | ".join(following))
        return f'"{{" any{index}::0'


def _json(rule: ValueRule) -> str:
    if not isinstance(rule, JsonText):
        raise AssertionError("a JSON call holds JSON only")
    return f"%json {rule.schema}"


def _json_name(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)[1:-1]
