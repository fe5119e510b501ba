import resource
from pathlib import Path

import pytest

from punie.training.data.dataset import Manifest, open_dataset, read_examples, write_dataset
from punie.training.data.example import Example, Message, PromptPrefix
from punie.training.errors import TrainingError
from tests.training.sample_conversations import conversations


def examples(count: int = 3) -> list[Example]:
    return [
        Example.model_validate({"messages": messages, "prefix": "p", "project": str(number % 2)})
        for number, messages in enumerate(conversations(count))
    ]


def written(out: Path) -> list[Example]:
    prefix = PromptPrefix(instructions="Be brief.")
    manifest = Manifest(made_by="test", seed=3, prefixes={"p": prefix})
    write_dataset(out, manifest, {"train": examples(), "valid": examples(1)})
    return examples()


def test_written_and_read_again(tmp_path: Path) -> None:
    expected = written(tmp_path / "data")
    dataset = open_dataset(tmp_path / "data")
    assert list(dataset.examples("train")) == expected
    assert dataset.manifest.parts["train"].examples == 3
    assert dataset.prefix(expected[0]).instructions == "Be brief."
    assert [file.name for file in tmp_path.iterdir()] == ["data"]


def test_hash_is_of_the_content(tmp_path: Path) -> None:
    written(tmp_path / "a")
    written(tmp_path / "b")
    assert open_dataset(tmp_path / "a").hash == open_dataset(tmp_path / "b").hash


def test_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(TrainingError, match="exists already"):
        written(tmp_path / "data")


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> list[Example]:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        write_dataset(tmp_path / "data", Manifest(made_by="test"), {"all": (x for x in broken())})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "Invalid JSON"),
        ("[]", "object"),
        ('{"messages": []}', "messages"),
        ('{"messages": [{"role": "boss", "content": ""}]}', "messages.0.role"),
    ],
)
def test_malformed_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    file = tmp_path / "bad.jsonl"
    good = examples(1)[0].model_dump_json()
    file.write_text(f"{good}\n{line}\n")
    with pytest.raises(TrainingError, match=rf"bad\.jsonl, line 2 is not an example \(.*{reason}"):
        list(read_examples(file))


def test_unknown_part_and_missing_dataset(tmp_path: Path) -> None:
    written(tmp_path / "data")
    with pytest.raises(TrainingError, match="has no part 'test'; it has train, valid"):
        list(open_dataset(tmp_path / "data").examples("test"))
    with pytest.raises(TrainingError, match="There is no dataset in"):
        open_dataset(tmp_path)


def test_id_is_made_of_what_is_said() -> None:
    one = Example(messages=(Message(role="user", content="a"),))
    assert one.id == one.model_copy(update={"task": "x"}).id
    assert one.id != Example(messages=(Message(role="user", content="b"),)).id


def test_parts_lie_in_the_dataset(tmp_path: Path) -> None:
    written(tmp_path / "data")
    file = tmp_path / "data" / "dataset.json"
    file.write_text(file.read_text().replace('"valid": {', '"../../valid": {'))
    with pytest.raises(TrainingError, match=r"dataset\.json cannot be read \(parts"):
        open_dataset(tmp_path / "data")


def test_where_there_is_no_room_nothing_is_left(tmp_path: Path) -> None:
    # What a full disk does to a write, with the limit of this process in its stead.
    many = examples() * 50
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, before[1]))
    try:
        with pytest.raises(TrainingError) as caught:
            write_dataset(tmp_path / "data", Manifest(made_by="test"), {"all": many})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(caught.value).endswith(
        "cannot be written (File too large); correct that and start again."
    )
    assert not list(tmp_path.iterdir())
