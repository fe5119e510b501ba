"""File names that are not UTF-8, which a command can make and some disks have from long ago."""

import os
import sys

import pytest

from punie.agent.events import ToolFinished
from tests.agent.scene import Scene, play, use

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "darwin", reason="its disks take no such names"),
]


async def test_no_tool_ends_the_turn_over_a_name(scene: Scene) -> None:
    root = os.fsencode(scene.workspace.roots[0])
    for name in (b"bad\xff.py", b"src/test_\xfe.py"):
        with open(os.path.join(root, name), "wb") as file:  # noqa: PTH118, PTH123, bytes
            file.write(b"import os\nfound = 1\n")
    scene.mode = "auto"
    events = await play(
        scene,
        use("find_files", pattern="*.py"),
        use("list_dir", path="."),
        use("search", pattern="found"),
        use("search", pattern="found", counts=True),
        use("find_pattern", pattern="found = $A"),
        use("lint", path=".", fix=True),
        use("symbols", query="found"),
    )
    ended = [event for event in events if isinstance(event, ToolFinished)]
    assert len(ended) == 7
    assert "bad\\udcff.py" in ended[0].result


async def test_no_tool_ends_the_turn_over_half_a_character(scene: Scene) -> None:
    test = "def test_a():\n    print('\\ud800')\n    raise ValueError('\\udcff')\n"
    (scene.workspace.roots[0] / "test_a.py").write_text(test)
    scene.mode = "auto"
    [ended] = [
        event for event in await play(scene, use("run_tests")) if isinstance(event, ToolFinished)
    ]
    assert "ValueError: \\udcff" in ended.result
