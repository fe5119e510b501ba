from tests.tools.validators.conftest import found

HEAD = "import svcs\nfrom dataclasses import dataclass\nfrom svcs_di import Inject, auto\n"


def test_factories() -> None:
    define = "def make(a, b): ...\ndef one(c): ...\ndef typed(a: int, b: str): ...\n"
    for call, said in (
        ("r.register_factory(int, make)", ["7 svcs-factory-arguments"]),
        ("r.register_factory(int, lambda a, b: 1)", ["7 svcs-factory-arguments"]),
        ("r.register_factory(int, one)", []),
        ("r.register_factory(int, typed)", []),
        ("r.register_factory(int, lambda a=1, b=2: 1)", []),
        ("r.register_factory(int, auto(int))", []),
        ("r.register_factory(int, unknown)", []),
    ):
        assert found(f"{HEAD}{define}{call}\n") == said
    assert found(f"{define}r.register_factory(int, make)\n") == []


def test_a_class_as_its_own_value() -> None:
    assert found(f"{HEAD}class A: ...\nr.register_value(A, A)\n") == ["5 svcs-value-is-class"]
    assert found(f"{HEAD}class A: ...\nr.register_value(A, A())\n") == []


def test_classes_that_nothing_is_injected_into() -> None:
    body = "class B: ...\n{}class A:\n    b: Inject[B]\n"
    assert found(HEAD + body.format("")) == ["5 svcs-not-injectable"]
    assert found(HEAD + "class B: ...\n@injectable\nclass A:\n    b: Inject[B]\n") == [
        "6 svcs-not-injectable"
    ]
    assert found(HEAD + body.format("@dataclass\n")) == []
    assert found(HEAD + body.format("@mine.define\n")) == []
    assert found(HEAD + "class B: ...\nclass A(Base):\n    b: Inject[B]\n") == []
    assert found(HEAD + body.format("") + "    def __init__(self, b: Inject[B]): ...\n") == []


COMPONENT = """
from tdom import Node, html
class Page:
    def __call__(self) -> Node:
        return html(t"<p>x</p>")
"""


def test_a_service_that_needs_a_component() -> None:
    service = f"{HEAD}from c import Page\n@dataclass\nclass A:\n    page: Inject[Page]\n"
    assert found({"c.py": COMPONENT, "s.py": service}) == ["s.py:7 svcs-service-needs-component"]
    rendering = (
        service.replace("import svcs\n", "import svcs\nfrom tdom import Node, html\n")
        + "    def __call__(self) -> Node:\n        return html(t'<p>x</p>')\n"
    )
    assert found({"c.py": COMPONENT, "s.py": rendering}) == []
    plain = "class Page:\n    def __call__(self) -> int:\n        return 1\n"
    assert found({"c.py": plain, "s.py": service}) == []


def test_types_that_are_not_there() -> None:
    body = "@dataclass\nclass A:\n    b: Inject[B]\n"
    assert found(HEAD + body) == ["6 svcs-type-not-imported"]
    checking = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from b import B\n"
    assert found(HEAD + checking + body) == ["9 svcs-type-not-imported"]
    for imported in (
        "from b import B\n",
        "from b import *\n",
        "class B: ...\n",
        "B = object\n",
        "try:\n    from b import B\nexcept ImportError:\n    B = object\n",
    ):
        assert found(HEAD + imported + body) == []
    assert found(f"{HEAD}def f(b: Inject[int], c: Inject[B]): ...\n") == [
        "4 svcs-type-not-imported"
    ]


def test_circles_across_files() -> None:
    def service(name: str, needs: str) -> str:
        return (
            f"{HEAD}from {needs.lower()} import {needs}\n"
            f"@dataclass\nclass {name}:\n    x: Inject[{needs}]\n"
        )

    circle = {"a.py": service("A", "B"), "b.py": service("B", "C"), "c.py": service("C", "A")}
    assert found(circle) == ["a.py:6 svcs-dependency-cycle"]
    end = {**circle, "c.py": "class C: ...\n"}
    assert found(end) == []
    both = {**end, "a.py": service("A", "B") + "    y: Inject[int]\n", "d.py": service("D", "B")}
    assert found(both) == []
    own = f"{HEAD}@dataclass\nclass A:\n    a: Inject['A']\n    b: Inject[A]\n"
    assert found(own) == ["5 svcs-dependency-cycle"]


def test_containers_that_live_too_long() -> None:
    assert found("import svcs\nr = svcs.Registry()\nc = svcs.Container(r)\n") == [
        "3 svcs-container-kept"
    ]
    for text in (
        "def f():\n    c = svcs.Container(r)\n",
        "with svcs.Container(r) as c: ...\n",
        "if __name__ == '__main__':\n    c = svcs.Container(r)\n",
    ):
        assert found(f"import svcs\n{text}") == []
