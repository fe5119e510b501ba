import pytest

from tests.tools.validators.conftest import found

TDOM = "from tdom import html, Node, Markup\n"
COMPONENTS = """
from dataclasses import dataclass
from tdom import html, Node
def Heading(title: str, level: int = 1) -> Node:
    return html(t"<h1>{title}</h1>")
def Nothing():
    html(t"<p>x</p>")
def Wrap(children) -> Node:
    return html(t"<div>{children}</div>")
def Position(title, /) -> Node:
    return html(t"<p>{title}</p>")
@dataclass
class Card:
    title: str
    def __call__(self) -> Node:
        return html(t"<p>{self.title}</p>")
class Plain:
    title: str
    def __call__(self) -> Node:
        return html(t"<p>{self.title}</p>")
@dataclass
class Mute:
    title: str
"""


def rules(template: str) -> list[str]:
    """Return what is said of a template that uses the components of another module."""
    names = "Heading, Nothing, Wrap, Position, Card, Plain, Mute"
    text = f"from tdom import html, Node\nfrom c import {names}\nhtml(t'''{template}''')\n"
    both = found({"c.py": COMPONENTS, "b.py": text})
    assert all(issue.startswith("b.py:3 ") for issue in both)
    return [issue.split()[1] for issue in both]


@pytest.mark.parametrize(
    "argument", ["f'<p>{x}</p>'", "'<p>x</p>'", "'<p>{}</p>'.format(x)", "'<p>%s' % x", "'<p>' + x"]
)
def test_strings_are_no_templates(argument: str) -> None:
    assert found(f"{TDOM}html({argument})\n") == ["2 tdom-not-a-template"]
    assert found(f"from other import html\nhtml({argument})\n") == []
    assert found(f"import tdom as t\nt.svg({argument})\n") == ["2 tdom-not-a-template"]


def test_what_may_be_a_template() -> None:
    for argument in ("template", "make(f'x')", "t'<p>x</p>'", "*parts"):
        assert found(f"{TDOM}html({argument})\n") == []


@pytest.mark.parametrize(
    "template",
    [
        "<p>",
        "<p></b>",
        "</p>",
        "<p><b></p></b>",
        "<p class='x>",
        "<{Wrap}></{Heading}>",
        "<{Wrap}>",
    ],
)
def test_trees_that_tdom_refuses(template: str) -> None:
    assert found(f'{TDOM}html(t"{template}")\n') == ["2 tdom-render-tree"]


@pytest.mark.parametrize(
    "template",
    [
        "<p>x</p>",
        "<br><img src={url}>",
        "<br /><p/>",
        "plain {text}",
        "<!doctype html><html></html>",
        "<!-- </p> --><p></p>",
        "<script>if (a < b) x()</script>",
        "<p class='a {b} c' {rest}>{{x}}</p>",
        "<{Wrap} a={b}><p></p></{Wrap}>",
        "<{Unknown} />",
        "<P></p>",
    ],
)
def test_trees_that_tdom_takes(template: str) -> None:
    assert found(f'{TDOM}html(t"{template}")\n') == []


def test_components_in_other_files() -> None:
    assert rules("<{Heading} title='x' />") == []
    assert rules("<{Heading} {props} />") == []
    assert rules("<{Wrap}>x</{Wrap}>") == []
    assert rules("<{Card} title='x' />") == []
    assert rules("<p>{Nothing}</p>") == []
    assert rules("<{Heading} level={2} />") == ["tdom-component-arguments"]
    assert "tdom-component-arguments" in rules("<{Position} title='x' />")
    assert rules("<{Nothing} />") == ["tdom-component-returns-nothing"]
    assert rules("<{Mute} title='x' />") == ["tdom-component-returns-nothing"]
    assert rules("<{Plain} title='x' />") == ["tdom-component-class"]


def test_what_is_put_where_escaping_does_not_help() -> None:
    assert found(f'{TDOM}Markup(f"<p>{{x}}</p>")\n') == ["2 tdom-unescaped"]
    assert found(f'{TDOM}Markup(f"<p></p>")\nMarkup("<p>")\nMarkup(x)\n') == []
    for template in ("<script>x = {y}</script>", "<p onclick='go({y})'></p>"):
        assert found(f'{TDOM}html(t"{template}")\n') == ["2 tdom-code-context"]
    assert found(f"{TDOM}html(t\"<p data-y='{{y}}'>{{y}}</p><script>x</script>\")\n") == []


def test_components_that_need_a_context() -> None:
    component = """
from dataclasses import dataclass
from svcs_di import Inject
from tdom_svcs import html
class Users: ...
@dataclass
class Page:
    users: Inject[Users]
    def __call__(self): return html(t"<p>x</p>")
"""
    for call, said in (
        ("html(t'<{Page} />')", ["9 tdom-svcs-no-context"]),
        ("html(t'<{Page} />', context=c)", []),
        ("html(t'<{Page} />', container=c)", []),
        ("html(t'<{Page} />', **options)", []),
    ):
        assert found(component + call + "\n") == said
    plain = component.replace("Inject[Users]", "Users = None")
    assert found(plain + "html(t'<{Page} />')\n") == []
