"""Every suite that comes with Punie, by name."""

from collections.abc import Mapping

from punie.evaluation.suite import Suite
from punie.evaluation.suites.conversation import CONVERSATION
from punie.evaluation.suites.discrimination import DISCRIMINATION
from punie.evaluation.suites.edits import EDITS
from punie.evaluation.suites.field_access import FIELD_ACCESS
from punie.evaluation.suites.generated import GENERATED_CODER, GENERATED_TINY
from punie.evaluation.suites.multi_step import MULTI_STEP
from punie.evaluation.suites.protocol_search import PROTOCOL_SEARCH
from punie.evaluation.suites.recovery import RECOVERY
from punie.evaluation.suites.safety import SAFETY
from punie.evaluation.suites.single_tool import SINGLE_TOOL

_ALL: tuple[Suite, ...] = (
    DISCRIMINATION,
    SINGLE_TOOL,
    MULTI_STEP,
    FIELD_ACCESS,
    RECOVERY,
    PROTOCOL_SEARCH,
    EDITS,
    CONVERSATION,
    SAFETY,
    GENERATED_TINY,
    GENERATED_CODER,
)

SUITES: Mapping[str, Suite] = {suite.name: suite for suite in _ALL}
"""In the order in which they are listed."""
