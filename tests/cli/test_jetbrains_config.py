"""What lies in jetbrains-config/ agrees with what the commands write and the registry takes."""

import json
import re
import tomllib
from pathlib import Path
from xml.etree import ElementTree

from punie import __version__
from punie.cli.jetbrains import with_punie

FOLDER = Path(__file__).parents[2] / "jetbrains-config"


def test_the_template_has_the_shape_that_init_writes() -> None:
    template = json.loads((FOLDER / "acp.json").read_text(encoding="utf-8"))
    written = with_punie({}, command=Path("/absolute/path/to/punie"), login_path="")
    for content in (template, written):
        content["agent_servers"]["Punie"]["env"]["PATH"] = "…"
    assert template == written


REQUIRED = {"id", "name", "version", "description", "distribution"}
OPTIONAL = {"repository", "website", "authors", "license", "license_url", "preview"}


def test_the_registry_entry_is_as_the_registry_wants_it() -> None:
    entry = json.loads((FOLDER / "punie" / "agent.json").read_text(encoding="utf-8"))
    assert REQUIRED <= entry.keys() <= REQUIRED | OPTIONAL
    assert re.fullmatch(r"[a-z][a-z0-9-]*", entry["id"])
    assert entry["id"] == (FOLDER / "punie").name
    assert re.fullmatch(r"\d+\.\d+\.\d+", entry["version"])
    assert entry["version"] == __version__
    assert entry["license"] == "Apache-2.0"
    # Pinned to the version, without extras; the package's own script of that name is what runs.
    assert entry["distribution"] == {
        "uvx": {"package": f"punie=={__version__}", "args": ["acp"]},
    }
    pyproject = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert pyproject["project"]["name"] in pyproject["project"]["scripts"]


def test_the_icon_takes_the_colour_of_the_ide() -> None:
    text = (FOLDER / "punie" / "icon.svg").read_text(encoding="utf-8")
    icon = ElementTree.fromstring(text)
    assert (icon.get("width"), icon.get("height"), icon.get("viewBox")) == ("16", "16", "0 0 16 16")
    colours = {
        value
        for element in icon.iter()
        for name, value in element.attrib.items()
        if name in ("fill", "stroke")
    }
    assert "currentColor" in colours
    assert colours <= {"currentColor", "none", "inherit"}
    assert "<!--" not in text
