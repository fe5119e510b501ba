"""What an IDE attaches to a prompt, needed or not."""

import re
from random import Random

from punie.training.generator.projects import Project


def add_context(rng: Random, prompt: str, project: Project) -> str:
    """Now and then attach the open file or some of its lines the way an IDE does."""
    chance = rng.random()
    named = [
        path for path in project.files if prompt.count(path) == 1 and not _quoted(prompt, path)
    ]
    if chance < 0.05 and named and not _creates(prompt):
        path = rng.choice(named)
        subject = rng.choice(("this file", "the open file"))
        return prompt.replace(path, subject) + rng.choice((" ", " ", "\n")) + f"@{path}"
    if chance < 0.13:
        return prompt + rng.choice((" ", " ", "\n")) + f"@{rng.choice(sorted(project.files))}"
    if chance < 0.15:
        path = rng.choice(sorted(path for path, text in project.files.items() if text))
        lines = project.files[path].splitlines()
        first = rng.randrange(len(lines))
        last = min(len(lines), first + rng.randint(1, 3))
        picked = "\n".join(lines[first:last])
        return f"{prompt}\n\nAttached: {path} lines {first + 1}-{last}\n```\n{picked}\n```"
    return prompt


def _quoted(prompt: str, path: str) -> bool:
    """Tell whether a path stands in quotes, perhaps with more: then it is to be taken literally."""
    before = prompt[: prompt.index(path)]
    return (
        before.count("`") % 2 == 1
        or before.count('"') % 2 == 1
        or re.search(r"(?<!\w)'[^']*$", before) is not None
    )


def _creates(prompt: str) -> bool:
    return any(word in prompt.lower() for word in ("create", "make", "new file", "write"))
