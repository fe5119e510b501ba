"""/mode and /model: what the session runs with."""

from collections.abc import Mapping

from punie.acp.commands.context import CommandContext
from punie.acp.config_options import MODE_OPTION, MODEL_OPTION, MODES
from punie.tools.wording import in_backticks


async def mode(context: CommandContext) -> str:
    """Show the modes, or change to the one named."""
    names: dict[str, str] = {id: name for id, (name, _) in MODES.items()}
    if not context.arguments:
        lines = [
            f"- `{id}`: {description}{' (now)' if id == context.session.mode else ''}"
            for id, (_, description) in MODES.items()
        ]
        return "\n".join(["The modes are these; `/mode name` changes to one:", "", *lines])
    chosen = _pick(context.arguments, names)
    if chosen is None:
        return (
            f"There is no mode {in_backticks(_shown(context.arguments))}; "
            f"the modes are {', '.join(f'`{id}`' for id in names)}."
        )
    if not await context.change(MODE_OPTION, chosen):
        return f"The mode is `{chosen}` already."
    description = next(text for id, (_, text) in MODES.items() if id == chosen)
    return f"The mode is `{chosen}` now: {description[:1].lower()}{description[1:]}."


async def model(context: CommandContext) -> str:
    """Show the models, or change to the one named."""
    session = context.session
    titles = {choice.id: choice.title for choice in session.choices}
    titles.setdefault(session.model, session.model)
    if not context.arguments:
        lines = [
            f"- {in_backticks(id)}: {title}{' (now)' if id == session.model else ''}"
            for id, title in titles.items()
        ]
        return "\n".join(["The models are these; `/model name` changes to one:", "", *lines])
    chosen = _pick(context.arguments, titles)
    if chosen is None:
        return (
            f"No single model is called {in_backticks(_shown(context.arguments))}; "
            "`/model` lists those there are."
        )
    if not await context.change(MODEL_OPTION, chosen):
        return f"The model is {in_backticks(chosen)} already."
    return (
        f"The model is {in_backticks(chosen)} from the next message on. If your IDE shows a list "
        "of models, choose it there too: what is chosen there wins."
    )


def _pick(text: str, names: Mapping[str, str]) -> str | None:
    """Return the id that a text means: as it is written, by its title, or by a part of either."""
    wanted = " ".join(text.split()).casefold()
    exact = [id for id, name in names.items() if wanted in (id.casefold(), name.casefold())]
    spaced = wanted.replace(" ", "_").replace("-", "_")
    alike = [id for id in names if id.casefold().replace("-", "_") == spaced]
    part = [
        id for id, name in names.items() if wanted in id.casefold() or wanted in name.casefold()
    ]
    for found in (exact, alike, part):
        if len(found) == 1:
            return found[0]
    return None


def _shown(text: str) -> str:
    return " ".join(text.split())[:80]
