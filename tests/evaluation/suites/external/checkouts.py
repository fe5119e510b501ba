"""Small checkouts in the layouts of Exercism, Aider's polyglot benchmark and BFCL."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

STUB = "def fare(zones):\n    pass\n"
RIGHT = "def fare(zones):\n    return 2 + zones\n"
WRONG = "def fare(zones):\n    return 3\n"
TESTS = (
    "import unittest\n\nfrom tram_fare import fare\n\n\n"
    "class TramFareTest(unittest.TestCase):\n"
    "    def test_one_zone(self):\n        self.assertEqual(fare(1), 3)\n\n"
    "    def test_four_zones(self):\n        self.assertEqual(fare(4), 6)\n"
)


def write_files(root: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def exercise(
    solution: Sequence[str], tests: Sequence[str], files: Mapping[str, str]
) -> dict[str, str]:
    """Return the files of an exercise, its `.meta` and `.docs` included."""
    listed = {"solution": solution, "test": tests, "example": [".meta/example.py"]}
    return {
        ".meta/config.json": json.dumps({"authors": [], "files": listed, "blurb": "Trams."}),
        ".meta/example.py": RIGHT,
        ".docs/introduction.md": "# Introduction\n\nTrams cross zones.\n",
        ".docs/instructions.md": "# Instructions\n\nA ride costs 2, and 1 more for each zone.\n",
        **files,
    }


TRAM_FARE = exercise(
    ["tram_fare.py"], ["tram_fare_test.py"], {"tram_fare.py": STUB, "tram_fare_test.py": TESTS}
)


def write_exercise(track: Path, slug: str, files: Mapping[str, str]) -> Path:
    folder = track / "exercises" / "practice" / slug
    write_files(folder, files)
    return folder


def write_track(track: Path, difficulties: Mapping[str, Any]) -> None:
    """Write the list of a track's exercises."""
    practice = [
        {
            "slug": slug,
            "name": slug,
            **(value if isinstance(value, dict) else {"difficulty": value}),
        }
        for slug, value in difficulties.items()
    ]
    write_files(
        track,
        {"config.json": json.dumps({"slug": "python", "exercises": {"practice": practice}})},
    )


def function(name: str, properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    """Return a function as BFCL describes them."""
    parameters = {"type": "dict", "properties": properties, "required": list(required)}
    return {"name": name, "description": f"Does {name}.", "parameters": parameters}


def question(name: str, text: str, *functions: Mapping[str, Any]) -> dict[str, Any]:
    said = [[{"role": "user", "content": text}]]
    return {"id": name, "question": said, "function": list(functions)}


def write_bfcl(
    folder: Path, category: str, questions: Sequence[Any], answers: Sequence[Any] | None = None
) -> None:
    """Write a category; a string is a line as it is."""
    name = f"BFCL_v4_{category}.json"
    write_files(folder, {name: _lines(questions)})
    if answers is not None:
        write_files(folder / "possible_answer", {name: _lines(answers)})


def _lines(values: Sequence[Any]) -> str:
    lines = [value if isinstance(value, str) else json.dumps(value) for value in values]
    return "\n".join(lines) + "\n"
