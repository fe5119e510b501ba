"""`punie dataset`: making, checking and changing the datasets that models learn from.

Each subcommand is a module of this package with one function; what it needs of training is
imported inside that function.
"""

from collections.abc import Callable, Sequence


def main(arguments: Sequence[str]) -> int:
    """Run the command; exit codes: 0 done, 1 it could not be done, 2 wrong usage, 130 stopped."""
    from punie.cli.dataset.filter import filter_
    from punie.cli.dataset.from_sessions import from_sessions
    from punie.cli.dataset.from_teacher import from_teacher
    from punie.cli.dataset.generate import generate
    from punie.cli.dataset.import_ import import_
    from punie.cli.dataset.merge import merge
    from punie.cli.dataset.render import render
    from punie.cli.dataset.show import show
    from punie.cli.dataset.split import split
    from punie.cli.dataset.stats import stats
    from punie.cli.dataset.validate import validate
    from punie.cli.help import run_group

    commands: dict[str, Callable[..., None]] = {
        "generate": generate,
        "from-sessions": from_sessions,
        "from-teacher": from_teacher,
        "import": import_,
        "validate": validate,
        "stats": stats,
        "show": show,
        "filter": filter_,
        "split": split,
        "merge": merge,
        "render": render,
    }
    return run_group(commands, arguments, "dataset", "Make, check and change training data.")
