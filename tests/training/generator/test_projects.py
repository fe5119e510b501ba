"""Generated projects."""

import sys
from random import Random

from punie.training.generator.answers import length_answer
from punie.training.generator.attaching import add_context
from punie.training.generator.families import make_task
from punie.training.generator.names import Names
from punie.training.generator.packages import make_package
from punie.training.generator.presets import preset
from punie.training.generator.projects import Constant, Project, make_project
from punie.training.generator.tasks import TaskMaker


def test_names_in_a_project_lead_to_one_place_only() -> None:
    for seed in range(60):
        project = make_project(Random(seed))
        text = "\n".join(project.files.values())
        for name in (*project.functions, *project.classes):
            assert text.count(f"def {name}(") + text.count(f"class {name}:") == 1


def test_modules_are_valid_python() -> None:
    for seed in range(40):
        for path, text in make_project(Random(seed)).files.items():
            if path.endswith(".py"):
                compile(text, path, "exec")


def test_packages_do_what_their_tests_say() -> None:
    for seed in range(40):
        package = make_package(Random(seed))
        assert package.name not in sys.stdlib_module_names
        for function in package.typed:
            assert not function.name.startswith("test")
            text = package.files[function.path]
            assert text.count(function.text) == 1
            assert f"{function.call} " in package.files[package.test_of(function)]
            right: dict[str, object] = {}
            exec(text, right)
            assert repr(eval(function.call, right)) == repr(eval(function.result))
            wrong: dict[str, object] = {}
            exec(
                text.replace(function.text, function.text.replace(function.line, function.wrong)),
                wrong,
            )
            assert eval(function.call, wrong) != eval(function.result)


def test_a_project_without_folders_is_no_obstacle() -> None:
    constant = Constant("LIMIT", "3", "a.py")
    project = Project({"a.py": "LIMIT = 3\n"}, {}, {}, [constant], [])
    rng = Random(1)
    maker = TaskMaker(rng, Names(rng), project)
    weights = preset("tiny").all_weights()
    assert len({make_task(maker, weights).kind for _ in range(300)}) > 10


def test_context_of_the_ide_keeps_the_request() -> None:
    rng = Random(2)
    project = make_project(rng)
    prompts = {add_context(rng, "List the files", project) for _ in range(300)}
    assert all(prompt.startswith("List the files") for prompt in prompts)
    assert len(prompts) > 3


def test_lines_are_counted_in_words() -> None:
    assert length_answer("a.py", "1:x = 1") == "`a.py` has 1 line."
    assert length_answer("a.py", "1:x = 1\n2:") == "`a.py` has 2 lines."
    assert length_answer("a.py", "") == "`a.py` is empty."
    cut = "1:x\n2:y\n(lines 1-2 of 90; go on with start_line=3)"
    assert length_answer("a.py", cut) == "`a.py` has 90 lines."


def test_the_open_file_stands_for_its_path_but_not_within_quotes() -> None:
    project = Project({"src/a.py": "x = 1\n", "b.py": "y = 2\n"})
    for prompt, replaced in (
        ("Read src/a.py", True),
        ("In src/a.py, replace `x` with 'y'", True),
        ("I'd like you to read src/a.py", True),
        ("Run `head -n 1 src/a.py`", False),
        ('Run "wc -l src/a.py"', False),
        ("I'd like you to run 'wc -l src/a.py'", False),
    ):
        rng = Random(3)
        dressed = {add_context(rng, prompt, project) for _ in range(300)}
        assert any("this file" in each for each in dressed) == replaced
        assert any(each.endswith("@b.py") for each in dressed)
