"""`authenticate` and `logout`: there is nothing to sign in to, and nothing breaks over it."""

import pytest

from tests.e2e.client import Refused
from tests.e2e.conformance.conftest import Stage


def test_the_advertised_method_is_taken_as_often_as_it_comes(stage: Stage) -> None:
    (method,) = stage.client.initialize()["authMethods"]
    for _ in range(3):
        assert stage.client.request("authenticate", {"methodId": method["id"]}) == {}


@pytest.mark.parametrize("method", ["", "password", "LOCAL"])
def test_other_methods_are_refused(stage: Stage, method: str) -> None:
    with pytest.raises(Refused) as refused:
        stage.client.request("authenticate", {"methodId": method})
    assert refused.value.code == -32602


def test_after_a_logout_everything_still_works(stage: Stage) -> None:
    for _ in range(2):
        assert stage.client.request("logout", {}) == {}
    session = stage.session({"text": "Still here."})
    assert stage.client.prompt(session) == "end_turn"
