"""Small functions with a meaning, for generated projects: what they do, and how they go wrong."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from punie.training.generator.names import Names

Arguments = Callable[[Random, Names], tuple[object, ...]]


def _numbers(rng: Random, names: Names) -> tuple[object, ...]:
    return (rng.sample(range(2, 60), rng.randint(3, 5)),)


def _numbers_and_limit(rng: Random, names: Names) -> tuple[object, ...]:
    found = sorted(rng.sample(range(2, 60), 4))
    return found, found[1]


def _two(rng: Random, names: Names) -> tuple[object, ...]:
    return rng.randint(2, 30), rng.randint(2, 30)


def _one(rng: Random, names: Names) -> tuple[object, ...]:
    return (rng.randint(1, 40),)


def _text(rng: Random, names: Names) -> tuple[object, ...]:
    return (names.phrase(2, 4),)


def _words(rng: Random, names: Names) -> tuple[object, ...]:
    return (list(dict.fromkeys(names.word() for _ in range(3))),)


def _word_and_number(rng: Random, names: Names) -> tuple[object, ...]:
    return names.word(), rng.randint(1, 99)


def _clamped(rng: Random, names: Names) -> tuple[object, ...]:
    low = rng.randint(2, 20)
    return low + rng.randint(5, 60), low, low + rng.randint(3, 9)


@dataclass(frozen=True)
class Kind:
    """A kind of function. "{a}", "{b}", "{c}" are its parameters and "{k}" is a number.

    Attributes:
        types: of the parameters.
        returns: the type of what it returns.
        does: its docstring, without the stop.
        line: the line that decides; `wrong` is that line with a mistake.
        before, after: the lines around it.
        arguments: makes arguments with which the mistake shows.
    """

    types: tuple[str, ...]
    returns: str
    does: str
    line: str
    wrong: str
    arguments: Arguments
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


KINDS = (
    Kind(
        ("int", "int"), "int", "Return {a} times {k}, and {b} on top",
        "return {a} * {k} + {b}", "return {a} * {k} - {b}", _two,
    ),
    Kind(
        ("list[int]",), "int", "Return the sum of the {a}",
        "total += each", "total = each", _numbers,
        ("total = 0", "for each in {a}:"), ("return total",),
    ),
    Kind(
        ("list[int]",), "int", "Return the largest of the {a}",
        "if each > largest:", "if each < largest:", _numbers,
        ("largest = {a}[0]", "for each in {a}:"), ("    largest = each", "return largest"),
    ),
    Kind(
        ("list[int]", "int"), "int", "Count the {a} that are above the {b}",
        "if each > {b}:", "if each >= {b}:", _numbers_and_limit,
        ("count = 0", "for each in {a}:"), ("    count += 1", "return count"),
    ),
    Kind(
        ("list[int]",), "float", "Return the mean of the {a}",
        "return sum({a}) / len({a})", "return sum({a}) / (len({a}) + 1)", _numbers,
    ),
    Kind(
        ("str",), "str", "Return the first letters of the words of the {a}",
        'return "".join(word[0] for word in {a}.split())',
        'return "".join(word[-1] for word in {a}.split())', lambda rng, names: ("alpha beta",),
    ),
    Kind(
        ("int", "int", "int"), "int", "Return the {a}, kept between {b} and {c}",
        "return max({b}, min({a}, {c}))", "return min({b}, max({a}, {c}))", _clamped,
    ),
    Kind(
        ("int",), "bool", "Tell whether the {a} is a multiple of {k}",
        "return {a} % {k} == 0", "return {a} % {k} != 0", _one,
    ),
    Kind(
        ("str",), "str", "Return the {a} in capitals, with an exclamation mark",
        'return {a}.upper() + "!"', 'return {a}.lower() + "!"', _text,
    ),
    Kind(
        ("list[str]",), "dict[str, int]", "Return how long each of the {a} is",
        "return {{each: len(each) for each in {a}}}",
        "return {{each: len({a}) for each in {a}}}", _words,
    ),
    Kind(
        ("list[int]",), "list[int]", "Return the {a} without the first one",
        "return {a}[1:]", "return {a}[:1]", _numbers,
    ),
    Kind(
        ("str", "int"), "str", "Return the {a} with the {b} in four digits",
        'return f"{{{a}}}-{{{b}:04}}"', 'return f"{{{a}}}-{{{b}:02}}"', _word_and_number,
    ),
    Kind(
        ("list[int]",), "list[int]", "Return the {a} from the largest to the smallest",
        "return sorted({a}, reverse=True)", "return sorted({a})", _numbers,
    ),
    Kind(
        ("int",), "int", "Return the {a} in steps of {k}, rounded up",
        "return -(-{a} // {k})", "return {a} // {k}", lambda rng, names: (rng.randrange(1, 400),),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Function:
    """A function of a project: where it is, its text, and what it returns for some arguments.

    `line` stands once in the module; put in its place, `wrong` makes the test fail.
    """

    name: str
    path: str
    text: str
    line: str
    wrong: str
    call: str
    result: str
    does: str


def make_function(rng: Random, names: Names, name: str, path: str) -> Function:
    """Make a function of some kind."""
    while True:
        kind = rng.choice(KINDS)
        parameters: list[str] = []
        while len(parameters) < len(kind.types):
            word = names.word()
            if word not in (*parameters, name, "total", "each", "count", "largest", "word"):
                parameters.append(word)
        values = dict(zip("abc", parameters, strict=False)) | {"k": str(rng.randint(2, 9))}
        arguments = ", ".join(map(repr, kind.arguments(rng, names)))
        good, bad = (
            _text_of(kind, name, parameters, line, values) for line in (kind.line, kind.wrong)
        )
        results = [_evaluated(text, f"{name}({arguments})") for text in (good, bad)]
        if results[0] != results[1] and None not in results:
            return Function(
                name=name,
                path=path,
                text=good,
                line=kind.line.format(**values),
                wrong=kind.wrong.format(**values),
                call=f"{name}({_quoted(arguments)})",
                result=_quoted(str(results[0])),
                does=kind.does.format(**values),
            )


def _text_of(
    kind: Kind, name: str, parameters: list[str], line: str, values: dict[str, str]
) -> str:
    inner = "    " if kind.before else ""
    typed = ", ".join(f"{a}: {b}" for a, b in zip(parameters, kind.types, strict=True))
    body = [
        *(each.format(**values) for each in kind.before),
        inner + line.format(**values),
        *((inner if each.startswith(" ") else "") + each.format(**values) for each in kind.after),
    ]
    lines = [f"def {name}({typed}) -> {kind.returns}:"]
    lines.append(f'    """{kind.does.format(**values)}."""')
    return "\n".join([*lines, *(f"    {each}" for each in body)]) + "\n"


def _evaluated(text: str, call: str) -> str | None:
    """Return what our own small function returns, as source text; None if it fails."""
    space: dict[str, object] = {}
    try:
        exec(text, space)
        return repr(eval(call, space))
    except Exception:
        return None


def _quoted(source: str) -> str:
    """Return source text with the quotes that formatters want."""
    return source.replace("'", '"')
