import pytest

from tests.tools.validators.conftest import found

DATACLASS = "from dataclasses import dataclass, field, KW_ONLY\nfrom typing import ClassVar\n"


@pytest.mark.parametrize("default", ["[]", "{}", "{1}", "list()", "dict(a=1)", "[x for x in y]"])
def test_mutable_defaults(default: str) -> None:
    text = f"{DATACLASS}@dataclass\nclass A:\n    x: object = {default}\n"
    assert found(text) == ["5 dataclass-mutable-default"]


@pytest.mark.parametrize(
    "body",
    [
        "x: list = field(default_factory=list)",
        "x: ClassVar[list] = []",
        "x: 'ClassVar[list]' = []",
        "x = []",
        "x: tuple = ()",
        "x: object = frozenset()",
        "def f(self, x: list = []) -> None: ...",
    ],
)
def test_defaults_that_may_be(body: str) -> None:
    assert found(f"{DATACLASS}@dataclass\nclass A:\n    {body}\n") == []
    assert found("class A:\n    x: list = []\n") == []


def test_field_order() -> None:
    assert found(f"{DATACLASS}@dataclass\nclass A:\n    x: int = 1\n    y: int\n") == [
        "6 dataclass-field-order"
    ]
    for decorator, body in (
        ("@dataclass(kw_only=True)", "    x: int = 1\n    y: int\n"),
        ("@dataclass(init=False)", "    x: int = 1\n    y: int\n"),
        ("@dataclass", "    x: int = 1\n    _: KW_ONLY\n    y: int\n"),
        ("@dataclass", "    x: ClassVar[int] = 1\n    y: int\n"),
        ("@dataclass", "    x: int = field(init=False, default=1)\n    y: int\n"),
        ("@dataclass", "    x: int\n    y: int = 1\n    z: int = field(default=2)\n"),
    ):
        assert found(f"{DATACLASS}{decorator}\nclass A:\n{body}") == []


def test_assignment_in_a_frozen_dataclass() -> None:
    method = "    def f(self):\n        self.x = 2\n"
    assert found(f"{DATACLASS}@dataclass(frozen=True)\nclass A:\n    x: int\n{method}") == [
        "7 dataclass-frozen-assignment"
    ]
    assert found(f"{DATACLASS}@dataclass\nclass A:\n    x: int\n{method}") == []
    inner = (
        "    def f(self):\n        object.__setattr__(self, 'x', 2)\n"
        "        class B:\n            def __init__(self):\n                self.x = 1\n"
    )
    assert found(f"{DATACLASS}@dataclass(frozen=True)\nclass A:\n    x: int\n{inner}") == []


PROTOCOL = """
from typing import Protocol, runtime_checkable
class P(Protocol):
    def get(self) -> int: ...
    def close(self) -> None: ...
@runtime_checkable
class R(Protocol):
    def get(self) -> int: ...
"""


def test_isinstance_of_a_protocol() -> None:
    assert found({"p.py": PROTOCOL, "b.py": "from p import P\nisinstance(1, (int, P))\n"}) == [
        "b.py:2 protocol-isinstance"
    ]
    for text in (
        "from p import R\nisinstance(1, R)\n",
        "from elsewhere import P\nisinstance(1, P)\n",
        "class P: ...\nisinstance(1, P)\n",
        "from p import P\ndef f(P): return isinstance(1, P)\n",
    ):
        assert found({"p.py": PROTOCOL, "b.py": text}) == []


def test_members_of_a_protocol() -> None:
    assert found({"p.py": PROTOCOL, "b.py": "from p import P\nclass C(P):\n    x = 1\n"}) == [
        "b.py:2 protocol-missing-member"
    ]
    for text in (
        "from p import P\nclass C(P):\n    def get(self): return 1\n",
        "from p import P\nclass C(P):\n    get = 1\n",
        "from p import P\nclass C(P):\n    def more(self) -> int: ...\n",
        "from p import P\nfrom typing import Protocol\nclass C(P, Protocol): ...\n",
        "from p import P\nclass C(P): ...\nclass D(C):\n    def get(self): return 1\n",
        "from p import P\nclass C(P):\n    def __getattr__(self, name): ...\n",
    ):
        assert found({"p.py": PROTOCOL, "b.py": text}) == []
    filled = PROTOCOL.replace("-> int: ...", "-> int: return 1")
    assert found({"p.py": filled, "b.py": "from p import P\nclass C(P): ...\n"}) == []


WORK = "async def work(): ...\nasync def many():\n    yield 1\ndef plain(): ...\n"


def test_calls_without_await() -> None:
    assert found(WORK + "async def f():\n    work()\n") == ["6 async-not-awaited"]
    assert found({"w.py": WORK, "b.py": "import w\nw.work()\n"}) == ["b.py:2 async-not-awaited"]
    assert found({"p/w.py": WORK, "p/b.py": "from .w import work\nwork()\n"}) == [
        "p/b.py:2 async-not-awaited"
    ]
    method = "class A:\n    async def a(self): ...\n    def b(self):\n        self.a()\n"
    assert found(method) == ["4 async-not-awaited"]


@pytest.mark.parametrize(
    "text",
    [
        "async def f():\n    await work()\n",
        "async def f():\n    x = work()\n",
        "plain()\n",
        "many()\n",
        "def f(work):\n    work()\n",
        "def f():\n    def work(): ...\n    work()\n",
        "class A:\n    def work(self):\n        self.work()\n",
        "class A:\n    async def a(self): ...\n    def f(self, other):\n        other.a()\n",
        "class A:\n    async def a(self): ...\n    def f(self): self.a()\n"
        "class B(A):\n    def a(self): ...\n",
        "import functools\n@functools.cache\nasync def g(): ...\ng()\n",
    ],
)
def test_calls_that_need_no_await(text: str) -> None:
    assert found(WORK + text) == []


def test_blocking_calls() -> None:
    for module, call in (
        ("time", "time.sleep(1)"),
        ("requests", "requests.get('x')"),
        ("subprocess", "x = subprocess.run(['ls'])"),
    ):
        assert found(f"import {module}\nasync def f():\n    {call}\n") == ["3 async-blocking-call"]
    assert found("from time import sleep as s\nasync def f():\n    s(1)\n") == [
        "3 async-blocking-call"
    ]
    for text in (
        "import time\ndef f():\n    time.sleep(1)\n",
        "import time\nasync def f():\n    def g():\n        time.sleep(1)\n",
        "import time\nasync def f():\n    await to_thread(lambda: time.sleep(1))\n",
        "import time\nasync def f():\n    await to_thread(time.sleep, 1)\n",
        "from mine import time\nasync def f():\n    time.sleep(1)\n",
    ):
        assert found(text) == []


def test_dropped_tasks_and_async_managers() -> None:
    assert found("import asyncio\nasync def f():\n    asyncio.create_task(g())\n") == [
        "3 async-task-dropped"
    ]
    assert found("import asyncio\nasync def f():\n    t = asyncio.create_task(g())\n") == []
    assert found("async def f(tg):\n    tg.create_task(g())\n") == []
    manager = "import anyio\nasync def f():\n    {} anyio.create_task_group() as g: ...\n"
    assert found(manager.format("with")) == ["3 async-with-missing"]
    assert found(manager.format("async with")) == []
    assert found("import anyio\nwith anyio.CancelScope(): ...\n") == []
