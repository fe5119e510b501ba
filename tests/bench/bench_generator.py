"""How many executed examples the generator makes a minute with two processes, by preset.

Every example counts that is kept, with all that it takes: projects, language servers, tests that
run, checks, dropped attempts and writing. The start of the processes counts too:

    python tests/bench/bench_generator.py [--examples N]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from punie.models.mlx.bench.rows import Limit, Row, all_hold
from punie.training.generator.generate import GenerateOptions, generate

EXAMPLES = 1_200
WORKERS = 2
PER_MINUTE = Limit("at least", 1_000.0)


def rate(preset: str, examples: int) -> float:
    """Return the examples a minute."""
    options = GenerateOptions(preset=preset, train=examples, valid=0, test=0)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        made = generate(options, Path(folder) / "dataset", workers=WORKERS)
        took = time.perf_counter() - began
        assert all(example.executed for example in made.examples("train"))
        return made.manifest.parts["train"].examples / took * 60


def main() -> int:
    """Print the rates; exit code 1 if one is too low."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=EXAMPLES)
    options = parser.parse_args()
    rows = [
        Row(
            f"generating {preset}",
            rate(preset, options.examples),
            "examples/min",
            f"with {WORKERS} processes",
            PER_MINUTE,
        )
        for preset in ("tiny", "coder")
    ]
    for row in rows:
        print(row.line())
    return 0 if all_hold(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
