"""The model card of the bundled model, written from its measured scores."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from punie.evaluation.intervals import rate

_LABELS = {
    "right_tool_or_rightly_none": "right tool, or rightly none",
    "exact_arguments": "exact arguments of the first call",
    "two_step_tasks_solved": "two-step tasks solved (files and answer right)",
    "all_tasks_solved": "all tasks solved (files and answer right)",
    "all_tasks_solved_soft": "all tasks solved, with the same facts in other words",
}

_TEMPLATE = """# punie-tiny

A demonstration model: a Qwen3-architecture transformer with {parameters:,} parameters
({size:.1f} MB of weights), trained from scratch by this project on synthetic sessions whose tool
results come from really executing the tools. It is what runs when no other model is configured,
so that a fresh, offline machine has something real to run. **It is not a coding assistant.**

## What it can do

One short request at a time: read a file or some of its lines, list a folder, search, say where
something is defined or what a constant is set to, replace a given text in a file, set a constant,
rename a function where it is defined, create a small file, run a command or script and repeat what
it printed. Its tools and its instructions are learned, so its template leaves both out.

## What it cannot do

Anything else. It does not program, does not explain code, knows no facts, and reads English
requests worded much like those it was trained on. Its window is {window:,} tokens. Long names,
names with repeated parts and unusual wording make it slip: look at each change before you allow it.
Results of edits name the problems that the edit brought in, which it has not learned to read: its
last sentence is then often wrong though the edit is right.

## Scores

Measured by `python -m punie.evaluation.tiny` with greedy decoding: the real agent, the real tools
and generated projects. Names and projects are held out from training. "Unseen wording" also uses
phrases that training never showed. In brackets: the interval that holds the true rate in 95 of 100
such measurements (Wilson's).

| | known wording | unseen wording |
| --- | --- | --- |
{rows}

Solved, by kind of task (known wording):

| task | solved | of |
| --- | --- | --- |
{kinds}

## How it was made

`make tiny` runs the whole recipe, in about an hour and a half on two cores:
`punie dataset generate` makes 80,000 sessions by executing the tools,
`punie.training.pretraining.train` trains the tokenizer and the weights in MLX on the CPU for 51
minutes (Muon for the matrices, AdamW for the rest; seeded, resumable), and
`punie.evaluation.tiny` measures the result and writes this page. The weights that ship were
trained for that time in three stretches, with 80,000 sessions of earlier versions of the generator
and, at the end, 24,000 of the present one, which also builds names from pieces of words.

Licence of the weights: Apache-2.0, like the rest of the project.
"""


def write_card(page: Path, folder: Path, scores: dict[str, Any]) -> None:
    """Write the card's page, and `scores.json` with the weights' hash beside the weights."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    weights = (folder / "model.safetensors").read_bytes()
    # A safetensors file: eight bytes that give the header's length, the header, the numbers.
    header = int.from_bytes(weights[:8], "little")
    kept = {
        "weights_sha256": sha256(weights).hexdigest(),
        "bytes": len(weights),
        "parameters": (len(weights) - 8 - header) // 4,
        **scores,
    }
    (folder / "scores.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    page.write_text(card(config, kept), encoding="utf-8")


def card(config: dict[str, Any], scores: dict[str, Any]) -> str:
    """Return the page for a model's `config.json` and its `scores.json`."""
    rows = "\n".join(
        f"| {label} | {_percent(scores['known'][key])} | {_percent(scores['unseen'][key])} |"
        for key, label in _LABELS.items()
        if key in scores["known"]
    )
    kinds = "\n".join(
        f"| {kind} | {value['rate']:.1%} {_interval(value)} | {value['of']} |"
        for kind, value in scores["known"]["solved_by_kind"].items()
    )
    return _TEMPLATE.format(
        parameters=scores["parameters"],
        size=scores["bytes"] / 1e6,
        window=config["max_position_embeddings"],
        rows=rows,
        kinds=kinds,
    )


def _percent(score: dict[str, Any]) -> str:
    return f"{score['rate']:.1%} {_interval(score)} of {score['of']}"


def _interval(score: dict[str, Any]) -> str:
    found = rate(round(score["rate"] * score["of"]), score["of"])
    return f"({found.low:.1%} to {found.high:.1%})"
