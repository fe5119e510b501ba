import pytest

from punie.agent.events import Mode
from punie.agent.permissions.consulting import Malformed
from punie.agent.permissions.judging import Forbidden, Permitted, Unclear, Unruled, Verdict
from punie.agent.permissions.rules import AnyCall, Rule
from punie.agent.policy import Allow, Ask, Deny, decide
from punie.tools.base import Effect

MODES: tuple[Mode, ...] = ("ask", "accept_edits", "plan", "auto")
EFFECTS: tuple[Effect, ...] = ("read", "edit", "execute", "external")
FORBIDDEN = Forbidden(Rule("deny", "tool", AnyCall()))
MALFORMED = Malformed("rules.toml, line 3: what is this?")


@pytest.mark.parametrize(
    ("mode", "effect", "expected"),
    [
        ("ask", "read", Allow),
        ("ask", "edit", Ask),
        ("ask", "execute", Ask),
        ("ask", "external", Ask),
        ("accept_edits", "read", Allow),
        ("accept_edits", "edit", Allow),
        ("accept_edits", "execute", Ask),
        ("accept_edits", "external", Ask),
        ("plan", "read", Allow),
        ("plan", "edit", Deny),
        ("plan", "execute", Deny),
        ("plan", "external", Deny),
        ("auto", "read", Allow),
        ("auto", "edit", Allow),
        ("auto", "execute", Allow),
        ("auto", "external", Allow),
    ],
)
def test_every_mode_and_effect_without_a_rule(mode: Mode, effect: Effect, expected: type) -> None:
    assert type(decide(mode, effect, Unruled())) is expected


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("verdict", [Unruled(), Unclear(), Permitted(), FORBIDDEN, MALFORMED])
def test_outside_a_sandbox_nothing_is_allowed_that_would_not_be_inside(
    mode: Mode, verdict: Verdict | Malformed
) -> None:
    inside = decide(mode, "execute", verdict)
    outside = decide(mode, "execute", verdict, unconfined=True)
    if mode == "auto" and verdict == Unruled():
        assert (inside, outside) == (Allow(), Ask())
    else:
        assert outside == inside


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("effect", EFFECTS)
class TestRules:
    def test_what_is_forbidden_runs_in_no_mode(self, mode: Mode, effect: Effect) -> None:
        decision = decide(mode, effect, FORBIDDEN)
        assert isinstance(decision, Deny)
        assert decision.result == (
            "error: a rule of the user forbids `tool`; do not try it another way, say what you "
            "wanted to do"
        )

    def test_broken_rules_leave_only_reading(self, mode: Mode, effect: Effect) -> None:
        decision = decide(mode, effect, MALFORMED)
        if effect == "read":
            assert decision == Allow()
        else:
            assert isinstance(decision, Deny)
            assert decision.result.startswith("error: only reading is possible until the user ")
            assert decision.result.endswith(MALFORMED.sentence)

    def test_what_is_permitted_runs_but_never_in_plan_mode(
        self, mode: Mode, effect: Effect
    ) -> None:
        decision = decide(mode, effect, Permitted())
        assert isinstance(decision, Deny if mode == "plan" and effect != "read" else Allow)

    def test_what_may_be_forbidden_is_asked_about_in_auto_too(
        self, mode: Mode, effect: Effect
    ) -> None:
        decision = decide(mode, effect, Unclear())
        if effect == "read":
            assert decision == Allow()
        elif mode == "plan":
            assert isinstance(decision, Deny)
        elif mode == "accept_edits" and effect == "edit":
            assert decision == Allow()
        else:
            assert decision == Ask()


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [(Unruled(), Allow()), (Unruled(guarded=True), Ask()), (Permitted(), Allow())],
)
def test_accepting_edits_does_not_reach_guarded_files(
    verdict: Verdict, expected: Allow | Ask
) -> None:
    assert decide("accept_edits", "edit", verdict) == expected
