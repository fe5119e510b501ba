"""Code reaches nothing but its functions, keeps its limits, and what was wrong is told."""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from punie.tools.base import ToolError
from punie.tools.code.faults import MODULES, Fault
from punie.tools.code.sandbox import (
    Call,
    CodeLimits,
    Finished,
    Output,
    Raised,
    run_sandboxed,
)

pytestmark = pytest.mark.anyio

QUICK = CodeLimits(seconds=0.3, memory=30_000_000, calls=5, frames=100, output=1_000)


async def ended(
    code: str,
    functions: Mapping[str, Call] | None = None,
    stubs: str = "",
    limits: CodeLimits = QUICK,
) -> tuple[Finished | tuple[Fault, ...], str]:
    """Run code; return how it ended and what it printed."""
    output = Output(limits.output)
    with anyio.fail_after(20):
        return await run_sandboxed(code, functions or {}, stubs, limits, output), output.text


async def value(code: str, **more: Any) -> Any:
    end, _ = await ended(code, **more)
    assert isinstance(end, Finished), end
    return end.value


async def fault(code: str, **more: Any) -> Fault:
    end, _ = await ended(code, **more)
    assert not isinstance(end, Finished), end
    return end[0]


def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.txt"
    path.write_text("top secret")
    return path


# Each reaches for something outside in one expression that is the code's value.
ESCAPES = [
    "open(PATH).read()",
    "exec('r = open(PATH).read()', {'PATH': PATH})",
    "eval('open(PATH)')",
    "__import__('os').listdir('/')",
    "eval('__import__')('os')",
    "().__class__.__bases__[0].__subclasses__()",
    "getattr((), '__class__')",
    "getattr(int, '__sub' + 'classes__')()",
    "type(type(1)).mro(type(1))",
    "int.__mro__",
    "(lambda: 0).__globals__",
    "(lambda: 0).__code__.co_consts",
    "probe.__globals__",
    "probe.__closure__",
    "probe.__self__",
    "probe.__module__",
    "probe.__reduce__()",
    "'{0.__class__.__mro__}'.format(1)",
    "'{0.__globals__}'.format(probe)",
    "print.__self__",
    "[].__reduce_ex__(2)",
    "vars(probe)",
    "globals()['__builtins__']",
    "breakpoint()",
    "input()",
    "compile('1', 'x', 'eval')",
    "memoryview(b'x')",
]

# As statements, with what would be found in `found`.
IMPORTS = [
    "import subprocess as found",
    "import socket as found",
    "import ctypes as found",
    "import importlib as found",
    "import builtins as found",
    "import inspect as found",
    "import gc as found",
    "import pickle as found",
    "import shutil as found",
    "import urllib.request as found",
    "import punie as found",
    "import pydantic_monty as found",
    "from os import system as found",
    "from os import popen as found",
    "from sys import modules as found",
    "from sys import _getframe as found",
    "import os; found = os.system('true')",
    "import os; found = os.listdir('/')",
    "import os; found = os.environ",
    "import os; found = os.getenv('PATH')",
    "import os; found = os.urandom(4)",
    "import os; found = os.stat('/')",
    "import os; found = os.path.exists(PATH)",
    "import os; os.remove(PATH); found = 1",
    "import os; os.mkdir(PATH + 'x'); found = 1",
    "import os; found = os.fork()",
    "import os; found = os.kill(1, 0)",
    "import os; found = os.open(PATH, 0)",
    "from pathlib import Path; found = Path(PATH).read_text()",
    "from pathlib import Path; found = Path(PATH).exists()",
    "from pathlib import Path; Path(PATH).write_text('x'); found = 1",
    "from pathlib import Path; Path(PATH).unlink(); found = 1",
    "from pathlib import Path; found = list(Path('/').iterdir())",
    "from pathlib import Path; found = Path(PATH).symlink_to('/')",
    "import asyncio; found = asyncio.create_subprocess_exec('true')",
    "import asyncio; found = asyncio.get_event_loop()",
    "import tomllib; found = tomllib.load(open(PATH, 'rb'))",
    "with open(PATH, 'w') as file: found = file.write('x')",
]


async def _probe(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    raise AssertionError("not called")


async def test_nothing_outside_is_reached(tmp_path: Path) -> None:
    path = secret(tmp_path)
    attempts = [*(f"found = {each}" for each in ESCAPES), *IMPORTS]
    # A checker would refuse much of it before it is tried, which `exec` gets around.
    tried = "".join(
        f"try:\n    exec({f'PATH = {str(path)!r}; probe; {attempt}'!r})\n"
        f"    reached.append({attempt!r})\nexcept BaseException as error:\n    print(error)\n"
        if not attempt.startswith("with ")
        else f"try:\n    exec({f'PATH = {str(path)!r}'!r} + chr(10) + {attempt!r})\n"
        f"    reached.append({attempt!r})\nexcept BaseException as error:\n    print(error)\n"
        for attempt in attempts
    )
    before = sorted(tmp_path.iterdir())
    limits = CodeLimits(output=100_000)
    end, printed = await ended(
        f"reached = []\n{tried}reached", {"probe": _probe}, "def probe() -> str: ...\n", limits
    )
    assert end == Finished([])
    assert len(printed.splitlines()) >= len(attempts)
    assert "top secret" not in printed
    assert path.read_text() == "top secret"
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("attempt", [ESCAPES[0], ESCAPES[3], ESCAPES[5], ESCAPES[12]])
async def test_nor_without_exec(attempt: str, tmp_path: Path) -> None:
    path = secret(tmp_path)
    code = f"PATH = {str(path)!r}\n{attempt}"
    end, _ = await ended(code, {"probe": _probe}, "def probe() -> str: ...\n")
    assert not isinstance(end, Finished)


async def test_a_refusal_is_an_error_that_code_can_catch() -> None:
    for reached, name in (("Path('/x').read_text()", "Path.read_text"), ("open('/x')", "open")):
        code = f"try:\n    {reached}\nexcept PermissionError as e:\n    print(e)"
        _, printed = await ended(f"from pathlib import Path\n{code}")
        assert printed == (
            f"{name} reaches outside the sandbox; use the functions you were given\n"
        )


async def test_the_modules_are_those_that_are_named() -> None:
    lines = [
        f"try:\n    import {name}\n    found.append({name!r})\nexcept ImportError: pass"
        for name in sorted(sys.stdlib_module_names)
    ]
    limits = CodeLimits(calls=1_000)
    found = await value("\n".join(["found = []", *lines, "found"]), limits=limits)
    assert [name for name in found if not name.startswith("_")] == [*MODULES]


RUNAWAYS = [
    ("while True: pass", "computed for too long"),
    ("while True:\n    try:\n        while True: pass\n    except BaseException: pass",
     "computed for too long"),
    ("sum(range(10**12))", "computed for too long"),
    ("while True: print('flood ' * 100)", "computed for too long"),
    ("x = 'a'\nwhile True: x += x", "too much memory"),
    ("x = [0]\nwhile True:\n    try: x = x + x\n    except MemoryError: pass", "too much memory"),
    ("'a' * 10**12", "too much memory"),
    ("9**9**9", "too much memory"),
    ("def f(n): return f(n + 1)\nf(0)", "go too deep"),
    ("while True:\n    try: open('x')\n    except BaseException: pass", "reached for the outside"),
    ("(" * 10_000, "nested"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "said"), RUNAWAYS)
async def test_runaways_are_ended(code: str, said: str) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await anyio.sleep(0.01)
            ticks += 1

    async with anyio.create_task_group() as group:
        group.start_soon(tick)
        with anyio.fail_after(5):
            found = await fault(code)
        group.cancel_scope.cancel()
    assert said in found.message
    if "long" in said:
        assert ticks > 10  # The event loop went on meanwhile.


async def test_calls_are_counted_and_waiting_for_them_is_not() -> None:
    calls = []

    async def wait(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        calls.append(args)
        await anyio.sleep(0.1)
        return len(calls)

    stubs = "def wait(n: int) -> int: ...\n"
    total = await value("sum([wait(n) for n in range(4)])", functions={"wait": wait}, stubs=stubs)
    assert total == 10
    calls.clear()
    code = "for n in range(9):\n    try: wait(n)\n    except BaseException: pass"
    found = await fault(code, functions={"wait": wait}, stubs=stubs)
    assert found.message == "the code made 5 calls; do less in one run"
    assert calls == [(n,) for n in range(5)]


async def test_functions_are_called_in_order_and_may_be_named_like_builtins() -> None:
    order: list[Any] = []

    async def double(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        order.append((args, kwargs))
        await anyio.lowlevel.checkpoint()
        return {"n": args[0] * 2, "of": [1.5, None, True, "é\n"]}

    code = (
        "import asyncio\n"
        "async def one(n): return format(n, of='x')\n"
        "async def both(): return await asyncio.gather(one(1), one(2))\n"
        "found = asyncio.run(both())\n"
        "f = format\n"
        "found + [f(3, of='y')]"
    )
    stubs = "def format(n: int, of: str) -> dict: ...\n"
    found = await value(code, functions={"format": double}, stubs=stubs)
    assert found == [{"n": n, "of": [1.5, None, True, "é\n"]} for n in (2, 4, 6)]
    assert order == [((1,), {"of": "x"}), ((2,), {"of": "x"}), ((3,), {"of": "y"})]


async def test_what_a_function_raises_can_be_caught_or_ends_the_run() -> None:
    async def fail(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        raise Raised(RuntimeError("no such file"))

    async def stop(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        raise LookupError("ours")

    functions: dict[str, Call] = {"fail": fail, "stop": stop}
    stubs = "def fail() -> str: ...\ndef stop() -> str: ...\n"
    caught = "try:\n    fail()\nexcept RuntimeError as error:\n    print('no:', error)"
    assert (await ended(caught, functions, stubs))[1] == "no: no such file\n"
    found = await fault("x = 1\nfail()", functions=functions, stubs=stubs)
    assert found == Fault(2, "RuntimeError: no such file", "RuntimeError", "fail()")
    with pytest.raises(LookupError):
        await ended("try:\n    stop()\nexcept BaseException: pass", functions, stubs)


FAULTS = [
    ("x = 1\ndef f(:\n  pass", 2, "Expected a parameter"),
    ("x = 1\nserch('a')", 2, "Name `serch` used when not defined"),
    ("search()", 1, "No argument provided for required parameter `pattern`"),
    ("search('a', lines=3)", 1, "Argument `lines` does not match"),
    ("search(3)", 1, "Expected `str`, found `Literal[3]`"),
    ("await search('a')", 1, "is not awaitable"),
    ("for m in search('a'):\n    print(m['file'])", 2, 'Unknown key "file"'),
    ("for m in search('a'):\n    print(m.path)", 2, "has no attribute `path`"),
    ("x = 1\nimport requests", 2, "No module named 'requests'"),
    ("return 3", 1, "`return` statement outside of a function"),
    ("x = 1\ndef g():\n    yield x", 3, "the sandbox has no yield expressions"),
    ("class E(Exception): pass", 1, "the sandbox has no class inheritance and metaclasses"),
    ("1 / 0", 1, "ZeroDivisionError"),
    ("def f():\n    return {}['k']\n\nf()", 2, "KeyError"),
    ("'\ud800'", None, "not valid UTF-8"),
    ("raise SystemExit(0)", None, "exceptions can only be called with zero or one string"),
    ("exec('undefined')", None, "NameError: name 'undefined' is not defined"),
    ("exec('undefined(1)')", None, "NameError: name 'undefined' is not defined"),
]
SEARCH = (
    "from typing import TypedDict\n"
    "class Match(TypedDict): path: str; line: int\n"
    "def search(pattern: str, path: str | None = ...) -> list[Match]: ...\n"
)


async def _search(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return [{"path": "a", "line": 1}]


@pytest.mark.parametrize(("code", "line", "said"), FAULTS)
async def test_faults_are_told_with_their_line(code: str, line: int | None, said: str) -> None:
    found = await fault(code, functions={"search": _search}, stubs=SEARCH)
    assert said in found.message
    assert found.line == line or line is None


# What a checker suspects and what runs all the same.
FINE = [
    ("import re\nre.search('a', 'cat').group()", "a"),
    ("x: int = None\nx is None", True),
    ("d = {}\nsearch(d.get('x') or 'a')[0]['line']", 1),
    ("def f(p: str | None): return search(p)[0]['path']\nf('b')", "a"),
    ("edits = [{'a': 'b'}]\nedits[0]['a'] = 1\nedits", [{"a": 1}]),
    ("import time\ntime.sleep(100)\n1", 1),
    ("try:\n    import requests\nexcept ImportError:\n    found = 1\nfound", 1),
    ("from __future__ import annotations\n1", 1),
    ("from dataclasses import dataclass\n@dataclass\nclass P:\n    a: int\nP(3).a", 3),
    ("async def main(): return search('a')[0]['line']\nimport asyncio\nasyncio.run(main())", 1),
    ("from functools import reduce\nreduce(lambda a, b: a + b, [1, 2])", 3),
    ("sorted({'a': 1, 'b': 2}.items(), key=lambda kv: -kv[1])[0]", ("b", 2)),
    (
        "from collections import defaultdict\nd = defaultdict(lambda: defaultdict(int))\n"
        "d['a']['b'] += 1\nd['a']['b']",
        1,
    ),
    ("x = 5\nx = 'a'\nx.upper()", "A"),
    ("import json\njson.loads('{\"a\": [1]}')['a'][0] + 1", 2),
    ("edits = []\nfor m in search('a'): edits.append({'p': m.get('path')})\nedits", [{"p": "a"}]),
    ("print('only printed')", None),
]


@pytest.mark.parametrize(("code", "expected"), FINE)
async def test_what_is_not_surely_wrong_runs(code: str, expected: Any) -> None:
    assert await value(code, functions={"search": _search}, stubs=SEARCH) == expected


def children() -> set[str]:
    """Return the processes below this one that run, but for those that have ended."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if parent == str(os.getpid()) and state != "Z":
            found.add(stat.parent.name)
    return found


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks at /proc")
@pytest.mark.parametrize("code", ["while True: pass", "wait()"])
async def test_a_cancelled_run_leaves_no_process_behind(code: str) -> None:
    waiting = anyio.Event()

    async def wait(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        waiting.set()
        await anyio.sleep_forever()

    before = children()
    with anyio.move_on_after(0.3) as scope:
        await ended(code, {"wait": wait}, "def wait() -> str: ...\n", CodeLimits(seconds=60))
    assert scope.cancelled_caught
    with anyio.fail_after(5):
        while children() - before:
            await anyio.sleep(0.01)


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks at /proc")
async def test_a_worker_that_dies_is_told() -> None:
    async def kill(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for child in children() - before:
            os.kill(int(child), signal.SIGKILL)
        return "x"

    before = children()
    stubs = "def kill() -> str: ...\n"
    found = await fault("kill()\nsum(range(10**7))", functions={"kill": kill}, stubs=stubs)
    assert "worker" in found.message


async def test_a_sandbox_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("punie.tools.code.sandbox._program", lambda: "/nowhere/monty")
    with pytest.raises(ToolError, match="the sandbox does not"):
        await ended("1")


def test_the_guide_tells_the_limits_and_modules() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "code-mode.md").read_text()
    limits = CodeLimits()
    for said in (
        *(f"`{module}`" for module in MODULES),
        f"| {limits.seconds:g} seconds |",
        f"| {limits.memory // 2**20} MB |",
        f"| calls | {limits.calls} |",
        f"| {limits.frames} |",
    ):
        assert said in guide, said


async def test_output_is_cut_and_counted() -> None:
    output = Output(10)
    end = await run_sandboxed("print('12345')\nprint('67890')", {}, "", QUICK, output)
    assert isinstance(end, Finished)
    assert (output.text, output.size) == ("12345\n6789", 12)
