"""Every tool that the agent has, in the order in which the model is told of them."""

from collections.abc import Mapping

from punie.tools.apply_patch import APPLY_PATCH
from punie.tools.ask_user import ASK_USER
from punie.tools.base import AnyTool
from punie.tools.command_output import COMMAND_OUTPUT
from punie.tools.delete import DELETE
from punie.tools.edit_file import EDIT_FILE
from punie.tools.explore import EXPLORE
from punie.tools.find_files import FIND_FILES
from punie.tools.git.tool import GIT
from punie.tools.list_dir import LIST_DIR
from punie.tools.move import MOVE
from punie.tools.python.add_import import ADD_IMPORT
from punie.tools.python.check_types import CHECK_TYPES
from punie.tools.python.find_pattern import FIND_PATTERN
from punie.tools.python.format import FORMAT
from punie.tools.python.lint import LINT
from punie.tools.python.lookups import DEFINITION, HOVER, REFERENCES
from punie.tools.python.rename_symbol import RENAME_SYMBOL
from punie.tools.python.run_tests import RUN_TESTS
from punie.tools.python.symbols import SYMBOLS
from punie.tools.read_file import READ_FILE
from punie.tools.run_command import RUN_COMMAND
from punie.tools.search import SEARCH
from punie.tools.update_plan import UPDATE_PLAN
from punie.tools.validators.tool import VALIDATE
from punie.tools.write_file import WRITE_FILE

TOOL_GROUPS: Mapping[str, tuple[AnyTool, ...]] = {
    "Looking": (READ_FILE, LIST_DIR, FIND_FILES, SEARCH, EXPLORE),
    "Changing files": (EDIT_FILE, APPLY_PATCH, WRITE_FILE, MOVE, DELETE),
    "Commands": (RUN_COMMAND, COMMAND_OUTPUT),
    "Python": (
        *(SYMBOLS, DEFINITION, REFERENCES, HOVER, FIND_PATTERN, RENAME_SYMBOL, ADD_IMPORT),
        *(RUN_TESTS, CHECK_TYPES, LINT, FORMAT, VALIDATE),
    ),
    "Git": (GIT,),
    "The person": (UPDATE_PLAN, ASK_USER),
}
"""The tools by what they are for, under headings for people."""

ALL_TOOLS: tuple[AnyTool, ...] = tuple(tool for group in TOOL_GROUPS.values() for tool in group)

UNATTENDED_TOOLS: tuple[AnyTool, ...] = tuple(tool for tool in ALL_TOOLS if tool is not ASK_USER)
"""What is offered to the model where nobody can be asked."""

READING_TOOLS: tuple[AnyTool, ...] = tuple(
    tool
    for tool in ALL_TOOLS
    if tool.effect == "read" and tool not in (EXPLORE, UPDATE_PLAN, ASK_USER)
)
"""What only looks: what `explore` works with, and what can be asked again."""
