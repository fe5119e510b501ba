import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from punie.cli.main import main
from tests.cli.conftest import Command
from tests.training.data.samples import direct, reading, sample_examples, write


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in this process; how a user starts it is told by the first test."""

    def command(*arguments: str) -> Done:
        capsys.readouterr()
        code = main(arguments)
        told = capsys.readouterr()
        return Done(code, told.out, told.err)

    return command


def test_as_a_user_starts_it(punie: Command, tmp_path: Path) -> None:
    dataset = write(tmp_path / "data", train=[reading("What is in a.py?"), direct("Why?")])
    done = punie("dataset", "stats", str(dataset.folder), "--json", "--model", "punie-tiny")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["hash"] == dataset.hash
    assert told["parts"]["train"]["direct"] == 1
    assert told["parts"]["train"]["tokens"]["total"] > 20
    done = punie("dataset", "stats", str(tmp_path / "none"))
    assert done.returncode == 1
    assert done.stderr.startswith("punie: There is no dataset in")


def test_validate_and_stats(run: Run, tmp_path: Path) -> None:
    folder = str(tmp_path / "data")
    dataset = write(tmp_path / "data", train=[reading("What is in a.py?"), direct("Why?")])
    done = run("dataset", "validate", folder)
    assert (done.returncode, done.stdout) == (0, "2 examples, no fault.\n")
    shown = run("dataset", "stats", folder).stdout
    assert shown.startswith(f"made by test; hash {dataset.hash[:16]}\n")
    assert "direct answers 50.0%" in " ".join(shown.split())
    dataset.file("train").write_text("{}\n")
    done = run("dataset", "validate", folder)
    assert done.returncode == 1
    assert f"{dataset.file('train')}, line 1: not an example" in done.stdout
    assert done.stderr.endswith("punie: 3 faults.\n")
    told = json.loads(run("dataset", "validate", folder, "--json", "--most", "1").stdout)
    assert (told["valid"], told["fault_count"], len(told["faults"])) == (False, 3, 1)


def test_split(run: Run, tmp_path: Path) -> None:
    folder, out = str(tmp_path / "data"), str(tmp_path / "out")
    write(tmp_path / "data", all=sample_examples(40))
    given = ("--share", "train=0.8", "--share", "valid=0.2", "--out", out)
    done = run("dataset", "split", folder, *given, "--near", "0")
    assert done.returncode == 2
    assert "--near: Input should be greater than 0" in done.stderr
    done = run("dataset", "split", folder, *given)
    assert (done.returncode, done.stdout) == (0, "train: 32 examples\nvalid: 8 examples\n")
    done = run("dataset", "split", folder, *given)
    assert done.returncode == 1
    assert done.stderr.endswith("exists already; name another folder or remove that one.\n")
    merged = ("--out", str(tmp_path / "merged"), "--weight", "2", "--limit", "0", "--as-one")
    done = run("dataset", "merge", out, folder, *merged)
    assert (done.returncode, done.stdout) == (0, "all: 72 examples\n")


def test_gate(run: Run, tmp_path: Path) -> None:
    folder = str(tmp_path / "data")
    write(tmp_path / "data", train=[reading("What is in a.py?"), direct("Why?")])
    done = run("gate", "data", folder, "--model", "punie-tiny")
    assert done.returncode == 1
    assert "gate data: FAILED" in done.stdout
    assert "FAIL direct answers: 50.0% of the examples call no tool" in done.stdout
    assert "ok   fits the model: the longest has" in done.stdout
    done = run("gate", "data", folder, "--most-direct", "0.6", "--most-of-one-tool", "1", "--json")
    assert (done.returncode, json.loads(done.stdout)["gate"]) == (0, "data")
    assert run("gate", "data", folder, "--most-direct", "2").returncode == 2


def test_filter(run: Run, tmp_path: Path) -> None:
    folder, out = str(tmp_path / "data"), str(tmp_path / "out")
    write(tmp_path / "data", train=[direct("Why?"), direct("Why?"), direct("Who?", "No\x1b[1m")])
    done = run("dataset", "filter", folder, "--out", out, "--script", "KLINGON=0")
    assert done.returncode == 2
    assert "there is no script KLINGON" in done.stderr
    given = ("--out", out, "--least-characters", "20", "--script", "cjk=0", "--list")
    done = run("dataset", "filter", folder, *given)
    assert (done.returncode, done.stdout) == (
        0,
        "train.jsonl line 2: duplicate, of train.jsonl line 1\n"
        "train.jsonl line 3: short answer, 6 characters\n"
        "1 example kept, 2 left out\n  duplicate: 1\n  short answer: 1\n",
    )


def test_import(run: Run, tmp_path: Path) -> None:
    file, out = tmp_path / "chats.jsonl", str(tmp_path / "out")
    file.write_text('{"prompt": "a", "completion": "b"}\n{\n{"messages": []}\n')
    done = run("dataset", "import", str(file), "--out", out)
    assert done.returncode == 1
    first, second = done.stdout.splitlines()
    assert first.startswith(f"{file}, line 2: Expecting property name")
    assert second == f"{file}, line 3: it has neither messages nor prompt and completion"
    assert "2 lines cannot be brought in, the first: " in done.stderr
    done = run("dataset", "import", str(file), "--out", out, "--skip-bad")
    assert (done.returncode, done.stdout) == (0, "all: 1 example\n")


def test_show_and_render(run: Run, tmp_path: Path) -> None:
    folder, out = str(tmp_path / "data"), str(tmp_path / "out")
    one = reading("What is in a.py?", project="p1", checked="files", context=0)
    write(tmp_path / "data", train=[direct("Why?"), one])
    done = run("dataset", "show", folder, "2")
    assert done.stdout == (
        f"{one.id}  train.jsonl line 2  generated, task read, project p1, executed, "
        "checked by files\n\n[user]\nWhat is in a.py?\n\n[assistant]\n"
        '-> read_file {\n  "path": "a.py"\n}\n\n[tool]\n1:x = 1\n\n[assistant]\na.py: 1:x = 1\n'
    )
    told = json.loads(run("dataset", "show", folder, one.id[:6], "--json", "--prefix").stdout)
    assert (told["line"], told["prompt_prefix"]["instructions"]) == (2, "Be brief.")
    assert "[tool]" in run("dataset", "show", folder, "--prefix").stdout
    assert run("dataset", "show", folder, "train:9").stderr.endswith("has 2 lines, not 9.\n")
    model = ("--model", "punie-tiny")
    done = run("dataset", "render", folder, *model, "--example", "1")
    assert "<|im_start|>assistant\n⟦A list can change, a tuple cannot.<|im_end|>⟧\n" in done.stdout
    done = run("dataset", "render", folder, *model, "--out", out)
    assert (done.returncode, done.stdout) == (0, "train: 2 sequences\n")
    same = run("dataset", "render", out, *model, "--example", "train:2", "--ids").stdout
    assert same == run("dataset", "render", folder, *model, "--example", "2", "--ids").stdout
    assert run("dataset", "render", out, *model, "--example", one.id[:5]).returncode == 0
    assert run("dataset", "render", out, *model, "--example", "9").returncode == 1
    assert run("dataset", "render", folder, *model).returncode == 2
