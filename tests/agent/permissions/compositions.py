"""Made-up command lines, each with the commands that it runs."""

from dataclasses import dataclass

from hypothesis import strategies as st

NAMES = ("pytest", "ruff", "ls", "git", "rm", "make")


@dataclass(frozen=True)
class Composition:
    text: str
    commands: tuple[tuple[str, ...], ...]
    writes: tuple[str, ...] = ()


def _simple(name: str, arguments: list[str]) -> Composition:
    return Composition(" ".join([name, *arguments]), ((name, *arguments),))


_ARGUMENT = st.from_regex(r"-?[a-z][a-z0-9/._-]{0,6}", fullmatch=True)
simple_commands = st.builds(_simple, st.sampled_from(NAMES), st.lists(_ARGUMENT, max_size=3))


_TWO = (
    "{} && {}",
    "{} || {}",
    "{}; {}",
    "{}\n{}",
    "{} | {}",
    "{} |& {}",
    "{} & {}",
    "if {}; then {}; fi",
    "while {}; do {}; done",
    "{} \\\n && {}",
    "# note\n{}\n# note\n{}",
)
_ONE = (
    "( {} )",
    "{{ {}; }}",
    "! {}",
    "for f in a b; do {}; done",
    "for f in *.py; do {}; done",
    "  {}  ",
    "{} &",
)
_WRAPPED = (
    "nice {}",
    "timeout 5 {}",
    "nohup {}",
    "env {}",
    "command {}",
    "exec {}",
    "time {}",
    "setsid {}",
    "stdbuf -oL {}",
    "uv run {}",
    "poetry run {}",
    "sh -c '{}'",
    'bash -lc "{}"',
    "eval '{}'",
    "find . -exec {} \\;",
)
_AROUND = ("echo $({})", 'echo "$({})"', "echo <({})", "ls > >({})")


def _joined(template: str, first: Composition, second: Composition) -> Composition:
    return Composition(
        template.format(first.text, second.text),
        first.commands + second.commands,
        first.writes + second.writes,
    )


def _around(template: str, inner: Composition) -> Composition:
    return Composition(template.format(inner.text), inner.commands, inner.writes)


def _writing(inner: Composition, operator: str, name: str) -> Composition:
    return Composition(f"{inner.text} {operator}{name}", inner.commands, (*inner.writes, name))


_redirected = st.builds(
    _writing, simple_commands, st.sampled_from((">", ">> ", "2>", "&>", "> ")), _ARGUMENT
)
_wrapped = st.builds(_around, st.sampled_from(_WRAPPED), simple_commands)

compositions = st.recursive(
    simple_commands | _redirected | _wrapped,
    lambda inner: (
        st.builds(_joined, st.sampled_from(_TWO), inner, inner)
        | st.builds(_around, st.sampled_from((*_ONE, *_AROUND)), inner)
    ),
    max_leaves=6,
)
"""Lines of which every part is understood, though some nestings may be too unusual."""

_plain = simple_commands | _redirected
usual_compositions = (
    st.builds(_joined, st.sampled_from(_TWO), _plain, _plain)
    | st.builds(_around, st.sampled_from((*_ONE, *_AROUND)), _plain)
    | _wrapped
)
"""Lines as models write them, which must not be too unusual."""

noise = st.text(
    st.sampled_from(list("abrm -;&|()<>{}[]\"'`$\\\n\t#!=*?~0127E_:,@%^+/.é\u00a0\u202e\r\x00")),
    max_size=40,
)
