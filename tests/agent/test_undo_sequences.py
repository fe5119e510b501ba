"""Whatever turns, commands, people, undo and redo do in whatever order, no byte is lost."""

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.agent.undo_machine import UndoMachine


def test_random_sequences() -> None:
    run_state_machine_as_test(
        UndoMachine, settings=settings(max_examples=40, stateful_step_count=10, deadline=None)
    )
    assert UndoMachine.seen["moved files"]
