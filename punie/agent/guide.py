"""AGENTS.md: what a coding agent has to know of a project, written from its facts."""

from punie.agent.project_facts import ProjectFacts
from punie.tools.wording import in_backticks

GUIDE_FILE = "AGENTS.md"


def guide_text(facts: ProjectFacts) -> str:
    """Return the whole text of the file; sections without facts are left out."""
    parts = [f"# {facts.name}"]
    if facts.description and facts.description != facts.name:
        parts.append(facts.description)
    basics = []
    if facts.python:
        basics.append(f"- Python: {in_backticks(facts.python)}")
    if facts.setup:
        basics.append(f"- Set up: {in_backticks(facts.setup)}")
    if basics:
        parts.append("\n".join(basics))
    for title, lines in (
        ("Layout", [f"- {in_backticks(folder)}: {what}" for folder, what in facts.layout]),
        ("Commands", [f"- {job}: {in_backticks(command)}" for job, command in facts.commands]),
        (
            "Entry points",
            [f"- {in_backticks(name)}: {in_backticks(at)}" for name, at in facts.entry_points],
        ),
        ("Style", [f"- {clause[:1].upper()}{clause[1:]}" for clause in facts.style]),
    ):
        if lines:
            parts.append("\n".join([f"## {title}", "", *lines]))
    return "\n\n".join(parts) + "\n"


def missing_lines(guide: str, existing: str) -> list[str]:
    """Return the facts of a guide that an existing file does not hold, word for word."""
    return [line for line in guide.splitlines() if line.startswith("- ") and line not in existing]
