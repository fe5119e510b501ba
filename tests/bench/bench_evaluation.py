"""How fast `punie eval` is, and whether a run that is done again comes out the same.

The bundled model does items of every suite that comes with Punie, spread evenly over each, and then
a share of them once more, in other company and into another folder:

    python tests/bench/bench_evaluation.py [--items N] [--again N] [--max-tokens N]

What is compared is the whole conversation, every verdict and every count, without how long things
took. An answer of the bundled model that is longer than its training ever had goes on for the sake
of going on; `--max-tokens` ends it, which changes neither how it began nor who is compared.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from punie.evaluation.results import RESULTS, Result, read_results
from punie.evaluation.run_options import RunOptions, plan
from punie.evaluation.suites.catalog import SUITES
from punie.models.mlx.bench.rows import Limit, Row, all_hold

MODEL = "punie-tiny"
ITEMS = 500
AGAIN = 100
MAX_TOKENS = 400
PUNIE = Path(sys.executable).with_name("punie")
PER_MINUTE = Limit("at least", 50.0)
"""With which 500 items take ten minutes."""
NONE = Limit("at most", 0.0)
_SHOWN = 120


def limit_for(count: int) -> int:
    """Return how many items of each suite come to so many in all, or to a few more."""
    sizes = [len(suite.names()) for suite in SUITES.values()]
    enough = (n for n in range(1, max(sizes)) if sum(min(n, size) for size in sizes) >= count)
    return next(enough, max(sizes))


def some_of(count: int, limit: int) -> list[str]:
    """Return the names of items of a run with this limit, evenly from all over it."""
    planned = plan(list(SUITES.values()), RunOptions(limit=limit))
    names = list(dict.fromkeys(each.item for each in planned))
    return [names[place * len(names) // count] for place in range(min(count, len(names)))]


def evaluated(out: Path, *options: str) -> tuple[list[Result], float]:
    """Run the installed command as a stranger would, and return its results and its seconds."""
    home = out.parent / "home"
    home.mkdir(exist_ok=True)
    own = {f"XDG_{name}_HOME": str(home / name) for name in ("DATA", "STATE", "CONFIG", "CACHE")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PUNIE_")}
    asked = [PUNIE, "eval", "--suite", "all", "--model", MODEL, "--out", out, *options]
    began = time.perf_counter()
    subprocess.run(
        [str(each) for each in asked],
        cwd=home,
        env=kept | own | {"HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return read_results(out / RESULTS), time.perf_counter() - began


def first_difference(one: Any, other: Any, at: str = "") -> str:
    """Return where two trajectories differ first and how; "" if they are the same."""
    if one == other:
        return ""
    pairs: Iterator[tuple[str, Any, Any]] = iter(())
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        # The conversation first: what differs in the verdict only follows from it.
        keys = sorted({*one, *other}, key=lambda key: (key != "messages", key))
        pairs = ((f"{at}.{key}".strip("."), one.get(key), other.get(key)) for key in keys)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = ((f"{at}[{n}]", *both) for n, both in enumerate(zip(one, other, strict=True)))
    inner = next(filter(None, (first_difference(a, b, where) for where, a, b in pairs)), "")
    return inner or f"{at}: {_from_there(one, other)}"


def _from_there(one: Any, other: Any) -> str:
    texts = [json.dumps(each, ensure_ascii=False) for each in (one, other)]
    pairs = enumerate(zip(*texts, strict=False))
    same = next((place for place, (a, b) in pairs if a != b), min(map(len, texts)))
    begin = max(0, same - _SHOWN // 4)
    return " / ".join(text[begin : begin + _SHOWN] for text in texts)


def differing(first: Sequence[Result], second: Sequence[Result]) -> list[str]:
    """Return the items of the second run that went another way in the first, and where."""
    before = {(each.suite, each.item): each.trajectory for each in first}
    both = [(each, before.get((each.suite, each.item))) for each in second]
    return [
        f"{each.suite} {each.item}: {first_difference(known, each.trajectory)}"
        for each, known in both
        if known is not None and known != each.trajectory
    ]


def rows(items: int, again: int, max_tokens: int) -> Iterator[Row]:
    """Measure one thing after the other."""
    limit, length = limit_for(items), ("--max-tokens", str(max_tokens))
    with tempfile.TemporaryDirectory(prefix="punie-bench-") as folder:
        place = Path(folder)
        first, seconds = evaluated(place / "first", "--limit", str(limit), *length)
        yield Row(
            "evaluation",
            60 * len(first) / seconds,
            "items/min",
            f"with {MODEL}: {len(first)} items of {len(SUITES)} suites in {seconds:.0f} s, the "
            f"start and the report included, answers of at most {max_tokens} tokens",
            PER_MINUTE,
        )
        names = some_of(again, limit)
        chosen = [option for name in names for option in ("--items", name)]
        second, _ = evaluated(place / "second", *chosen, *length)
        known = {(each.suite, each.item) for each in first}
        compared = sum((each.suite, each.item) in known for each in second)
        found = differing(first, second)
        for line in found:
            print(f"  {line}")
        yield Row(
            "trajectories that differ", len(found), "items", f"of {compared} done again", NONE
        )


def main() -> int:
    """Print what was measured; 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--again", type=int, default=AGAIN)
    parser.add_argument("--max-tokens", type=int, default=MAX_TOKENS)
    given = parser.parse_args()
    found = []
    for row in rows(given.items, given.again, given.max_tokens):
        print(row.line(), flush=True)
        found.append(row)
    return int(not all_hold(found))


if __name__ == "__main__":
    sys.exit(main())
