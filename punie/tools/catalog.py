"""Every tool that the agent has."""

from punie.tools.base import AnyTool
from punie.tools.edit_file import EDIT_FILE
from punie.tools.list_dir import LIST_DIR
from punie.tools.read_file import READ_FILE
from punie.tools.run_command import RUN_COMMAND
from punie.tools.search import SEARCH
from punie.tools.write_file import WRITE_FILE

ALL_TOOLS: tuple[AnyTool, ...] = (
    READ_FILE,
    LIST_DIR,
    SEARCH,
    EDIT_FILE,
    WRITE_FILE,
    RUN_COMMAND,
)
