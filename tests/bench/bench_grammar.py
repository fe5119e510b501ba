"""What the grammar costs for each token of a tool call, with a published vocabulary.

The same as `punie bench --only grammar`, for a model that need not be there: DIRECTORY holds a
tokenizer.json of the Qwen family:

    python tests/bench/bench_grammar.py [DIRECTORY]
"""

import argparse
import sys
from pathlib import Path

from punie.models.mlx.bench.grammar import call_grammar, measure_guide, measure_mask
from punie.models.mlx.bench.rows import all_hold
from punie.models.mlx.chat.vocabulary import Vocabulary
from punie.tools.catalog import ALL_TOOLS
from punie.tools.parameters import argument_schema
from tests.assets import ASSETS

WIDTH = 151_936
"""Logits of the Qwen3 models, a few more than their vocabulary has tokens."""


def main() -> int:
    """Measure and print; 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", nargs="?", type=Path, default=ASSETS / "qwen3-coder-30b-a3b")
    directory = parser.parse_args().directory
    if not (directory / "tokenizer.json").is_file():
        print(f"{directory} has no tokenizer.json; name one that has. Nothing measured.")
        return 0
    grammar = call_grammar(Vocabulary.load(directory), WIDTH)
    tools = {tool.name: argument_schema(tool.arguments) for tool in ALL_TOOLS}
    findings = [*measure_guide(grammar, tools, lambda _: None), measure_mask(grammar, tools)]
    for finding in findings:
        print(finding.line())
    return int(not all_hold(findings))


if __name__ == "__main__":
    sys.exit(main())
