"""`punie dataset from-teacher`: what a larger model does right, as a dataset."""

from typing import Annotated, Literal

import typer

from punie.cli.dataset.arguments import Out, Weight, weights

Teacher = Annotated[
    str,
    typer.Option(
        metavar="MODEL", help="Model that plays the agent: on this machine, or openai:NAME."
    ),
]
Tasks = Annotated[int, typer.Option(min=1, help="How many tasks it gets.")]
Preset = Annotated[
    str, typer.Option(metavar="NAME", help="The generator's mix that the tasks are of.")
]
Seed = Annotated[int, typer.Option(help="Makes the tasks and what is sampled.")]
Attempts = Annotated[int, typer.Option(min=1, help="How often it may try each task.")]
Temperature = Annotated[float, typer.Option(min=0, max=2, help="Of its sampling.")]
Answers = Annotated[
    Literal["facts", "exact"],
    typer.Option(help="Whether answers must tell the same facts, or be the same word for word."),
]
ResultChars = Annotated[
    int | None, typer.Option("--result-chars", min=200, help="Characters of one tool result.")
]
MaxTokens = Annotated[int, typer.Option("--max-tokens", min=1, help="Tokens of one response.")]
Parallel = Annotated[int, typer.Option(min=1, help="Sessions under way at a time.")]


def from_teacher(
    teacher: Teacher,
    out: Out,
    tasks: Tasks = 200,
    preset: Preset = "coder",
    weight: Weight = None,
    seed: Seed = 1,
    attempts: Attempts = 1,
    temperature: Temperature = 0.0,
    answers: Answers = "facts",
    result_chars: ResultChars = None,
    max_tokens: MaxTokens = 1024,
    parallel: Parallel = 4,
) -> None:
    """Let a larger model work on generated tasks, and keep what it verifiably did right."""
    from punie.models.catalog import ENDPOINT_PREFIX
    from punie.training.process import prepare_process

    if not teacher.startswith(ENDPOINT_PREFIX):
        prepare_process(threads=1)  # as for all that writes token by token
    from pydantic import ValidationError

    from punie.cli.help import say
    from punie.cli.settings import settings_for
    from punie.cli.steps import step
    from punie.tools.wording import count
    from punie.training.data.from_teacher import FromTeacherOptions
    from punie.training.data.from_teacher import from_teacher as ask_teacher

    settings = settings_for()
    try:
        options = FromTeacherOptions(
            tasks=tasks,
            preset=preset,
            weights=weights(weight),
            seed=seed,
            attempts=attempts,
            temperature=temperature,
            answers=answers,
            result_chars=result_chars,
            max_tokens=max_tokens,
            parallel=parallel,
        )
    except ValidationError as error:
        say(error.errors()[0]["msg"].removeprefix("Value error, "))
        raise typer.Exit(2) from None
    with step() as (report, stopped):
        dataset = ask_teacher(options, teacher, settings, out, report, stopped)
    (part,) = dataset.manifest.parts.values()
    print(f"{count(part.examples, 'example')} of {count(tasks, 'task')} in {out}")
    for reason, number in dataset.manifest.recipe["dropped"].items():
        print(f"  not kept, {reason}: {number}")
