"""What a large dataset costs: encoding its sessions, and comparing each with all others.

    python tests/bench/bench_datasets.py [--sessions N]

Times are those of one processor, so that other programs count little.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from punie.models.catalog import bundled_directory
from punie.models.mlx.bench.rows import Finding, Limit, Row, Skipped, all_hold
from punie.models.mlx.chat_format import ChatFormat
from punie.tools.catalog import ALL_TOOLS
from punie.training.data.dataset import Manifest, write_dataset
from punie.training.data.example import Example, PromptPrefix
from punie.training.data.leakage import measure_leakage
from punie.training.data.prefixes import prompt_prefix
from punie.training.data.sequences import training_sequences
from tests.assets import TOKENIZER, chat_format
from tests.training.sample_conversations import conversations

SESSIONS = 80_000
CODER = "Qwen3-Coder-30B-A3B-Instruct"
"""Its template only appends; those that rewrite earlier turns take a session turn by turn."""

MINUTES = Limit("at most", 300_000 / SESSIONS)
"""Milliseconds for a session, with which 80,000 take five minutes."""


def sessions(count: int, prefix: PromptPrefix) -> list[Example]:
    """Return sessions of eight messages: two questions, each answered from a file."""
    talks = conversations(2 * count)
    return [
        Example.model_validate(
            {"messages": [*one, *other], "prefix": prefix.id, "project": str(n % 50)}
        )
        for n, (one, other) in enumerate(zip(talks[::2], talks[1::2], strict=True))
    ]


def encoding(name: str, model: ChatFormat, examples: list[Example], prefix: PromptPrefix) -> Row:
    """Measure how long a session takes to become token ids."""
    training_sequences(model, examples[0], prefix)
    start = time.process_time()
    tokens = sum(
        len(sequence.ids)
        for example in examples
        for sequence in training_sequences(model, example, prefix)
    )
    spent = 1000 * (time.process_time() - start) / len(examples)
    return Row(
        f"encoding, {name}",
        spent,
        "ms",
        f"a session of {tokens / len(examples):,.0f} tokens",
        MINUTES,
    )


def findings(count: int) -> Iterator[Finding]:
    """Measure one thing after the other."""
    prefix = prompt_prefix(ALL_TOOLS)
    examples = sessions(count, prefix)
    yield encoding("punie-tiny", ChatFormat.load(bundled_directory()), examples, prefix)
    if TOKENIZER.is_file():
        yield encoding(CODER, chat_format(CODER), examples, prefix)
    else:
        yield Skipped(f"encoding, {CODER}", "its tokenizer is not here; set PUNIE_TEST_ASSETS")
    manifest = Manifest(made_by="bench", prefixes={prefix.id: prefix})
    with tempfile.TemporaryDirectory() as folder:
        half = len(examples) // 2
        parts = {"train": examples[:half], "valid": examples[half:]}
        dataset = write_dataset(Path(folder) / "data", manifest, parts)
        start = time.process_time()
        found = measure_leakage(dataset)
        spent = 1000 * (time.process_time() - start) / len(examples)
        compared = f"a session, {len(found):,} leaks among {len(examples):,} sessions"
        yield Row("measuring leakage", spent, "ms", compared, MINUTES)


def main() -> int:
    """Measure and print; 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sessions", type=int, default=10_000)
    found = []
    for finding in findings(parser.parse_args().sessions):
        print(finding.line(), flush=True)
        found.append(finding)
    return int(not all_hold(found))


if __name__ == "__main__":
    sys.exit(main())
