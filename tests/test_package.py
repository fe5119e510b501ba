"""What `pip install` brings: the built wheel holds the weights and nothing that is not Punie."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_wheel_is_whole(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(tmp_path)]
    done = subprocess.run([*command, str(ROOT)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("punie-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    tiny = {path.name for path in (ROOT / "punie" / "models" / "tiny").iterdir() if path.is_file()}
    assert {"model.safetensors", "tokenizer.json", "chat_template.jinja", "scores.json"} <= tiny
    assert {f"punie/models/tiny/{name}" for name in tiny} <= names
    assert "punie/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"punie"}
