from pathlib import Path

import pytest

from punie.training.data.finding import find_example
from punie.training.errors import TrainingError
from tests.training.data.samples import direct, reading, write

WHY, WHO, READ = direct("Why?"), direct("Who?"), reading("Read a.py")


def test_by_line_and_by_id(tmp_path: Path) -> None:
    dataset = write(tmp_path / "data", train=[WHY, WHO], valid=[READ, WHO])
    assert find_example(dataset, "2") == ("train", 2, WHO)
    assert find_example(dataset, "valid:1") == ("valid", 1, READ)
    assert find_example(dataset, READ.id) == ("valid", 1, READ)
    assert find_example(dataset, WHO.id[:8]) == ("train", 2, WHO)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("3", "Part train of .* has 2 lines, not 3"),
        ("test:1", "has no part 'test'"),
        ("abc", "'abc' names no example"),
        ("valid:x", "'valid:x' names no example"),
        ("0123abcd", "has no example 0123abcd"),
    ],
)
def test_not_there(tmp_path: Path, wanted: str, told: str) -> None:
    dataset = write(tmp_path / "data", train=[WHY, WHO], valid=[READ])
    with pytest.raises(TrainingError, match=told):
        find_example(dataset, wanted)


def test_several_are_meant(tmp_path: Path) -> None:
    many = [direct(f"{number}?") for number in range(2_000)]
    starts: dict[str, str] = {}
    shared = next(e.id[:4] for e in many if starts.setdefault(e.id[:4], e.id) != e.id)
    dataset = write(tmp_path / "data", all=many)
    if shared.isdecimal():
        pytest.skip("a line would be meant")
    with pytest.raises(TrainingError, match=r"examples begin with .* write more letters"):
        find_example(dataset, shared)
