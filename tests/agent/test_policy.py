import pytest

from punie.agent.events import Mode
from punie.agent.policy import CHOICES, Allow, Ask, Deny, allows, decide
from punie.tools.base import Effect


@pytest.mark.parametrize(
    ("mode", "effect", "expected"),
    [
        ("ask", "read", Allow),
        ("ask", "edit", Ask),
        ("ask", "execute", Ask),
        ("accept_edits", "read", Allow),
        ("accept_edits", "edit", Allow),
        ("accept_edits", "execute", Ask),
        ("plan", "read", Allow),
        ("plan", "edit", Deny),
        ("plan", "execute", Deny),
        ("auto", "read", Allow),
        ("auto", "edit", Allow),
        ("auto", "execute", Allow),
    ],
)
def test_every_mode_and_effect(mode: Mode, effect: Effect, expected: type) -> None:
    assert type(decide(mode, effect)) is expected


def test_only_a_clear_yes_allows() -> None:
    assert allows("allow_once")
    for answer in ("reject_once", "allow_always", "", "yes", None):
        assert not allows(answer)
    assert [choice.id for choice in CHOICES if allows(choice.id)] == ["allow_once"]
