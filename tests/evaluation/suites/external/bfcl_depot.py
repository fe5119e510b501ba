"""A checkout of BFCL with simulated APIs of our own: trams in a depot, and what a ride costs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.evaluation.suites.external.checkouts import function, write_bfcl, write_files

STEPS = 3
OFFER = "There are more functions now."
SOURCES = "eval_checker/multi_turn_eval/func_source_code"
DEPOT = """import os

from bfcl_eval.eval_checker.multi_turn_eval.func_source_code.long_context import MORE_TRAMS


class Tram:
    pass


class TramDepot:
    def __init__(self):
        self.tracks = {}
        self._asked = 0

    def _load_scenario(self, scenario, long_context=False):
        self.tracks = scenario["tracks"]
        if long_context:
            self.tracks["north"].extend(MORE_TRAMS)

    def count(self, track):
        self._asked += 1
        print("counted")
        return {"trams": len(self.tracks[track])}

    def move(self, tram, source, target="north"):
        self.tracks[source].remove(tram)
        self.tracks[target].append(tram)
        return f"Tram {tram} is on {target}."

    def wait(self):
        while True:
            pass

    def derail(self):
        os._exit(1)
"""
FARES = """class FareMath:
    def fare(self, zones):
        return 2 + zones
"""
TRACK = {"type": "string", "description": "The track."}
DESCRIBED = {
    "depot": [
        function("count", {"track": TRACK}, "track"),
        function("move", {"tram": {"type": "integer"}, "source": TRACK, "target": TRACK}, "tram"),
        function("wait", {}),
        function("derail", {}),
    ],
    "fares": [function("fare", {"zones": {"type": "integer"}}, "zones")],
}


def write_depot(checkout: Path) -> Path:
    """Write the programs, and return the folder of the questions."""
    package = checkout / "bfcl_eval"
    described = {name: "\n".join(map(json.dumps, each)) for name, each in DESCRIBED.items()}
    settings = f"{STEPS=}\n\nDEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_FC = (\n    {OFFER!r}\n)\n"
    write_files(
        package,
        {
            f"{SOURCES}/depot.py": DEPOT,
            f"{SOURCES}/fares.py": FARES,
            f"{SOURCES}/long_context.py": "MORE_TRAMS = [7, 8, 9]\n",
            "constants/default_prompts.py": settings.replace("STEPS", "MAXIMUM_STEP_LIMIT"),
            **{f"data/multi_turn_func_doc/{name}.json": text for name, text in described.items()},
        },
    )
    return package / "data"


def talk(name: str, *prompts: str, **more: Any) -> dict[str, Any]:
    """Return a question; an empty prompt is a turn in which nothing is said."""
    said = [[{"role": "user", "content": prompt}] if prompt else [] for prompt in prompts]
    tracks = {"north": [1, 2], "south": [3]}
    return {
        "id": name,
        "question": said,
        "initial_config": {"TramDepot": {"tracks": tracks}},
        "involved_classes": ["TramDepot", "FareMath"],
        **more,
    }


def write_talks(
    data: Path, talks: Sequence[Mapping[str, Any]], *due: Sequence[Sequence[str]]
) -> None:
    """Write questions of one category with the calls that are due in each."""
    category = str(talks[0]["id"]).rpartition("_")[0]
    answers = [
        {"id": each["id"], "ground_truth": calls} for each, calls in zip(talks, due, strict=True)
    ]
    write_bfcl(data, category, talks, answers)
