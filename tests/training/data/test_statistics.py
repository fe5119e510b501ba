from pathlib import Path

from punie.training.data.sequences import training_sequences
from punie.training.data.statistics import Lengths, dataset_statistics
from tests.training.data.samples import PREFIX, answer, direct, example, reading, user, write
from tests.training.sample_conversations import model_folder


def test_counts(tmp_path: Path) -> None:
    one = reading("What is in a.py?", checked="files")
    dataset = write(
        tmp_path / "data",
        train=[one, reading("And b.py?", "b.py"), direct("Why?"), direct("Who?")],
        valid=[one],
    )
    found = dataset_statistics(dataset)
    train = found["train"]
    assert (train.examples, train.direct, train.duplicates, train.direct_share) == (4, 2, 0, 0.5)
    assert train.tasks == {"direct": 2, "read": 2}
    assert train.tools == {"read_file": 2}
    assert train.checked == {"": 3, "files": 1}
    assert train.messages == Lengths(least=2, median=2, p90=4, p99=4, most=4, total=12)
    assert train.tokens is None
    assert found["valid"].duplicates == 1


def test_tokens_are_those_of_training(tmp_path: Path) -> None:
    chat_format = model_folder(tmp_path / "model")
    examples = [reading("What is in a.py?"), direct("Why?")]
    found = dataset_statistics(write(tmp_path / "data", train=examples), chat_format)["train"]
    (longest,) = training_sequences(chat_format, examples[0], PREFIX)
    (shortest,) = training_sequences(chat_format, examples[1], PREFIX)
    assert found.tokens is not None
    assert found.learned is not None
    assert found.tokens.most == len(longest.ids)
    assert found.tokens.total == len(longest.ids) + len(shortest.ids)
    assert found.learned.least == sum(shortest.learned)


def test_what_is_only_context_does_not_count_as_learned(tmp_path: Path) -> None:
    first = reading("What is in a.py?")
    later = [*first.chat(), user("Why?"), answer("So.")]
    talk = example(*later, context=len(first.messages))
    found = dataset_statistics(write(tmp_path / "data", train=[talk]))["train"]
    assert (found.direct, found.tools) == (1, {})
