"""How requests are worded: what is held out never comes up, in whatever dress."""

import itertools
import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.training.generator.names import _HELD_OUT, _WORDS, Names
from punie.training.generator.phrasing import (
    CLOSERS,
    NEUTRAL_OPENERS,
    OPENERS,
    QUESTION_OPENERS,
    all_phrases,
    choose,
    dress,
    expansions,
    quote,
)


def words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


@pytest.mark.parametrize("kind", sorted(all_phrases()))
def test_no_known_wording_is_a_held_out_one(kind: str) -> None:
    phrases = all_phrases()[kind]
    assert phrases.held_out
    held_out = {
        words(dressed)
        for template in phrases.held_out
        for phrase in expansions(template)
        for dressed in (phrase, *(phrase + closer for closer in CLOSERS))
    }
    known = {
        words(opener + phrase + closer)
        for template in phrases.known
        for phrase in expansions(template)
        for opener in {*OPENERS, *NEUTRAL_OPENERS, *QUESTION_OPENERS}
        for closer in {*CLOSERS}
    }
    assert not known & held_out


@pytest.mark.parametrize("kind", sorted(all_phrases()))
def test_requests_that_name_nothing_are_of_one_part_only(kind: str) -> None:
    phrases = all_phrases()[kind]
    known = [each for template in phrases.known for each in expansions(template)]
    assert phrases.valid or all("{" in each for each in known)
    if not phrases.valid:
        return
    parts = [
        {words(each) for template in phrases.of(part) for each in expansions(template)}
        for part in ("train", "valid", "test")
    ]
    for one, other in itertools.combinations(parts, 2):
        assert not one & other


def test_training_never_sees_a_held_out_word() -> None:
    assert not set(_WORDS) & set(_HELD_OUT)
    rng = Random(1)
    assert not {Names(rng).word() for _ in range(4_000)} & set(_HELD_OUT)


def test_every_template_has_the_same_names_as_its_kind() -> None:
    for kind, phrases in all_phrases().items():
        named = {frozenset(re.findall(r"{(\w+)}", each)) for each in phrases.held_out}
        usual = {
            frozenset(re.findall(r"{(\w+)}", each))
            for template in (*phrases.known, *phrases.valid, *phrases.test)
            for each in expansions(template)
        }
        if kind not in ("beyond", "outside"):
            assert usual == named, kind
        assert all("|" not in each for template in phrases.known for each in expansions(template))


def test_a_name_at_the_start_stays_as_it_is() -> None:
    rng = Random(2)
    for _ in range(200):
        assert "src/a.py" in dress(rng, "src/a.py: what is in it?", fixed=True)
    assert {quote(rng, 'say "hi"') for _ in range(50)} == {'`say "hi"`', "'say \"hi\"'"}
    assert "{" in choose(rng, "read")


@given(st.integers(), st.sampled_from(sorted(all_phrases())), st.booleans())
def test_what_is_chosen_is_what_a_template_stands_for(seed: int, kind: str, held_out: bool) -> None:
    phrases = all_phrases()[kind]
    templates = phrases.held_out if held_out else phrases.known
    whole = {each for template in templates for each in expansions(template)}
    assert choose(Random(seed), kind, held_out=held_out) in whole
