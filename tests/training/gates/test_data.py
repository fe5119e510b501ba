from pathlib import Path
from typing import Any

import pytest

from punie.models.catalog import bundled_directory
from punie.models.mlx.chat_format import ChatFormat
from punie.training.data.example import Example
from punie.training.errors import TrainingError
from punie.training.gates.data import DataLimits, data_gate
from punie.training.gates.report import Check
from tests.training.data.samples import (
    PREFIX,
    READ_FILE,
    answer,
    direct,
    example,
    reading,
    result,
    user,
    write,
)
from tests.training.sample_conversations import called

LIST_DIR = {
    "type": "function",
    "function": {"name": "list_dir", "parameters": {"type": "object"}},
}
TWO_TOOLS = PREFIX.model_copy(update={"tools": (READ_FILE, LIST_DIR)})
TINY = ChatFormat.load(bundled_directory())


def listing(query: str, seen: str, **about: Any) -> Example:
    talk = [user(query), called("list_dir"), result(seen), answer(f"There is {seen}.")]
    return example(*talk, prefix=TWO_TOOLS, executed=True, **about)


def sound(start: str) -> list[Example]:
    """Ten examples: three direct, four readings, three listings."""
    name = TWO_TOOLS.id
    mixed = [
        *(direct(f"What is a {start} {n}?", f"A {start} {n} is a thing.") for n in "abc"),
        *(reading(f"Read {start} {n}", f"{start}{n}", f"1:{n}", project=start) for n in "abcd"),
    ]
    moved = [each.model_copy(update={"prefix": name}) for each in mixed]
    return moved + [listing(f"List {start} {n}", f"{start} {n}") for n in "abc"]


def gate(
    folder: Path, limits: dict[str, Any] | None = None, **parts: list[Example]
) -> dict[str, Check]:
    dataset = write(folder / "data", TWO_TOOLS, **parts)
    report = data_gate(dataset.folder, DataLimits(**(limits or {})), TINY, window=1024)
    assert report.subject_hash == dataset.hash
    assert report.passed == (not report.failures)
    return {check.name: check for check in report.failures}


def test_a_sound_dataset_passes(tmp_path: Path) -> None:
    assert not gate(tmp_path, train=sound("x"), valid=sound("y"))
    report = data_gate(tmp_path / "data", chat_format=TINY, window=1024)
    assert report.passed
    assert len(report.checks) == 7
    assert len(data_gate(tmp_path / "data").checks) == 6, "no lengths without a model"


def test_an_empty_dataset_fails(tmp_path: Path) -> None:
    assert list(gate(tmp_path)) == ["examples are sound"]
    assert "0 examples" in gate(tmp_path / "b", train=[])["examples are sound"].found


def test_a_fault_is_named(tmp_path: Path) -> None:
    broken = example(user("a"), answer(""), prefix=TWO_TOOLS)
    (check,) = gate(tmp_path, train=[*sound("x"), *[broken] * 5]).values()
    assert check.found.count("is an empty answer") == 3
    assert check.found.endswith("; and 2 more)")


@pytest.mark.parametrize("count", [0, 12])
def test_balance(tmp_path: Path, count: int) -> None:
    extra = [direct(f"Is {n} even?", f"{n}: no.") for n in range(count)]
    kept = [each for each in sound("x") if count or each.calls]
    extra = [each.model_copy(update={"prefix": TWO_TOOLS.id}) for each in extra]
    (check,) = gate(tmp_path, train=[*kept, *extra]).values()
    assert check.name == "direct answers"
    assert check.measured == (15 / 22 if count else 0)
    assert check.limit == (0.4 if count else 0.2)


def test_one_tool_above_its_share(tmp_path: Path) -> None:
    (check,) = gate(tmp_path, {"most_of_one_tool": 0.5}, train=sound("x")).values()
    assert check.found.startswith("read_file has 57.1% of 7 calls")


def test_results_that_no_tool_returned(tmp_path: Path) -> None:
    made_up = [each.model_copy(update={"executed": False}) for each in sound("x")]
    (check,) = gate(tmp_path, train=made_up).values()
    # Direct answers have no results that could be made up.
    assert (check.name, check.measured) == ("results were returned by tools", 7)
    assert not gate(tmp_path / "b", {"most_unexecuted": 7}, train=made_up)


def test_leaks(tmp_path: Path) -> None:
    (check,) = gate(tmp_path, train=sound("x"), valid=[*sound("y"), sound("x")[0]]).values()
    assert check.measured == 1
    assert "valid.jsonl line 11 ('What is a x a?') asks the same as" in check.found
    assert not gate(
        tmp_path / "b", {"most_leaks": 1}, train=sound("x"), valid=[*sound("y"), sound("x")[0]]
    )


def test_too_long_for_the_model(tmp_path: Path) -> None:
    long = direct("What is a z?", "Well, it depends. " * 400)
    examples = [*sound("x"), long.model_copy(update={"prefix": TWO_TOOLS.id})]
    (check,) = gate(tmp_path, train=examples).values()
    assert check.name == "fits the model"
    assert "train.jsonl line 11 has" in check.found
    unknown = data_gate(tmp_path / "data", chat_format=TINY)
    assert [failed.name for failed in unknown.failures] == ["fits the model"]
    assert data_gate(tmp_path / "data", DataLimits(window=100_000), TINY, window=1).passed


def test_what_the_template_refuses(tmp_path: Path) -> None:
    refusing = ChatFormat("{{ raise_exception('No.') }}", TINY.vocabulary)
    dataset = write(tmp_path / "data", TWO_TOOLS, train=sound("x"))
    (check,) = data_gate(dataset.folder, chat_format=refusing, window=9).failures
    assert "train.jsonl line 1: The model's chat template refused the messages: No." in check.found


def test_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="There is no dataset"):
        data_gate(tmp_path)
