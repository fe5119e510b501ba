"""The prompt prefix that the product serves: its instructions, and its tools for the model."""

from collections.abc import Sequence

from pydantic_ai.messages import InstructionPart

from punie.agent.instructions import INSTRUCTIONS
from punie.agent.toolset import turn_parameters
from punie.tools.base import AnyTool
from punie.training.data.example import PromptPrefix


def prompt_prefix(tools: Sequence[AnyTool], instructions: str = INSTRUCTIONS) -> PromptPrefix:
    """Return what stands before every conversation of a turn with these tools."""
    parameters = turn_parameters(tools, instructions)
    return PromptPrefix(
        instructions=InstructionPart.join(parameters.instruction_parts or []),
        tools=tuple(
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description or "",
                    "parameters": tool.parameters_json_schema,
                },
            }
            for tool in parameters.function_tools
        ),
    )
