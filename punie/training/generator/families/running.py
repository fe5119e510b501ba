"""Tasks that run something: commands, scripts, the tests."""

from punie.training.generator.answers import (
    Call,
    Teacher,
    failure,
    outcome_answer,
    tests_answer,
)
from punie.training.generator.phrasing import quote
from punie.training.generator.tasks import Family, Task, TaskMaker


def run_command(maker: TaskMaker) -> Task:
    """Run a given command and say what it printed."""
    folder = maker.rng.choice([*maker.project.folders, "."])
    path = maker.file()
    word = maker.names.word()
    command = maker.rng.choice(
        (
            f"ls {folder}", f"wc -l {path}", f"echo {maker.names.phrase(1, 3)}",
            f"cat {path} | wc -l", f"test -d {folder}", f"head -n 1 {path}", f"ls {word}",
            f"grep -c {word} {path}", f"mkdir -p {word}", f"touch {word}.txt", f"false {word}",
        )
    )  # fmt: skip
    shown = quote(maker.rng, command, always=maker.rng.random() < 0.7)

    def teacher() -> Teacher:
        result = yield Call("run_command", {"command": command})
        return failure(result) or outcome_answer(command, result)

    wanted = {f"{word}.txt": ""} if command.startswith("touch") else {}
    return Task("run", maker.say("run", command=shown), teacher, wanted=wanted)


def run_script(maker: TaskMaker) -> Task | None:
    """Run one of the project's scripts."""
    if not maker.project.scripts:
        return None
    path = maker.rng.choice(maker.project.scripts)

    def teacher() -> Teacher:
        result = yield Call("run_command", {"command": f"python3 {path}"})
        return failure(result) or outcome_answer(f"python3 {path}", result)

    return Task("run", maker.say("run_script", path=maker.shown(path)), teacher)


def run_tests(maker: TaskMaker) -> Task:
    """Run the tests."""

    def teacher() -> Teacher:
        result = yield Call("run_tests", {})
        return failure(result) or tests_answer(result)

    return Task("run_tests", maker.say("run_tests"), teacher)


FAMILIES: dict[str, Family] = {
    "run": run_command,
    "run_script": run_script,
    "run_tests": run_tests,
}
