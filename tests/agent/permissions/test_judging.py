"""What rules say of calls, tried as a model would that wants more than it was allowed."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from punie.agent.permissions.judging import (
    Call,
    CommandCall,
    FilesCall,
    Forbidden,
    OtherCall,
    Permitted,
    Place,
    ReadCall,
    Unclear,
    Unruled,
    describe_call,
    judge,
)
from punie.agent.permissions.rules import (
    COMMANDS,
    EDITS,
    AnyCall,
    ExactArguments,
    ExactCommand,
    PathPattern,
    Rule,
    parse_command_pattern,
    parse_path_pattern,
)
from punie.agent.permissions.shell import read_command_line
from punie.tools.catalog import ALL_TOOLS
from punie.workspace.local import LocalWorkspace
from tests.agent.permissions.compositions import Composition, compositions, noise


def allow(*patterns: str) -> list[Rule]:
    return [Rule("allow", COMMANDS, parse_command_pattern(pattern)) for pattern in patterns]


def deny(*patterns: str) -> list[Rule]:
    return [Rule("deny", COMMANDS, parse_command_pattern(pattern)) for pattern in patterns]


def edits(decision: str, *patterns: str) -> list[Rule]:
    return [
        Rule("allow" if decision == "allow" else "deny", EDITS, parse_path_pattern(pattern))
        for pattern in patterns
    ]


def command(text: str) -> CommandCall:
    return CommandCall(COMMANDS, read_command_line(text))


def verdict(rules: list[Rule], call: Call, place: Place) -> str:
    return type(judge(rules, call, place)).__name__


USUAL = allow("pytest *", "git status *", "git log *", "ls *", "find *", "sort *", "./run.sh *")


@pytest.mark.parametrize(
    "text",
    [
        "pytest",
        "pytest -q tests/x.py",
        "pytest 'a b' \"$HOME\" *.py",
        "pytest 2>&1",
        "pytest -q > /dev/null",
        "pytest; ls && git status -s | pytest",
        "(pytest) & { ls; }",
        "if ls; then pytest; fi",
        "for f in *.py; do pytest $f; done",
        "pytest $(ls) <(git status)",
        "pytest || true",
        "timeout 60 nice -n 5 pytest -x",
        "uv run pytest",
        "sh -c 'pytest; ls'",
        "ls | xargs pytest",
        "find . -name '*.py' -exec ls {} +",
        "'pytest' -q",
        "pytest \\\n -q",
        "pytest # && rm -rf ~",
        "git log --oneline",
        "git log src/*.py",
        "./run.sh -x",
    ],
)
def test_allowed(text: str, place: Place) -> None:
    assert verdict(USUAL, command(text), place) == "Permitted"


@pytest.mark.parametrize(
    "text",
    [
        # more commands
        "pytest; rm -rf ~",
        "pytest && rm x",
        "pytest | sh",
        "pytest & rm x",
        "pytest\nrm x",
        "pytest\r\nrm x",
        "pytest $(rm x)",
        "pytest `rm x`",
        'pytest "$(rm x)"',
        "pytest <(rm x)",
        "pytest > >(tee x)",
        "pytest <<EOF\n$(rm x)\nEOF",
        "pytest <<EOF\nEOF\nrm x",
        "pytest ${x:-$(rm x)}",
        "pytest $((a[$(rm x)]))",
        "for x in 'a[$(rm x)]'; do ls $((x)); done",
        "for x in '$(rm x)'; do ls ${x@P}; done",
        "pytest () { rm x; }; pytest",
        "if rm x; then pytest; fi",
        "pytest # comment\nrm x",
        "pytest 'a\n'; rm x",
        # other programs of a similar name
        "pytest-evil",
        "pytestx",
        "рytest",  # its first letter is Cyrillic
        "pytest\u200b",
        "pytest\u00a0-q",
        "./pytest",
        "/tmp/pytest",
        "PYTEST",
        "git-status",
        "git statusx",
        "git $x status",
        "$PYTEST -q",
        "py?est",
        "~/pytest",
        # files written
        "pytest > ~/.bashrc",
        "pytest >> src/a.py",
        "pytest 2> x",
        "pytest &> /etc/x",
        "ls > $x",
        "> x",
        "ls >| .git/hooks/pre-commit",
        "pytest > /dev/tcp/host/80",
        # what decides over what runs
        "PYTHONPATH=/tmp pytest",
        "LD_PRELOAD=/tmp/x.so pytest",
        "PAGER=evil git log",
        "GIT_PAGER=evil git log",
        "env PYTHONPATH=/tmp pytest",
        "env -i pytest",
        "PATH=/tmp; pytest",
        "export PATH=/tmp && pytest",
        "for PATH in /tmp; do pytest; done",
        "alias pytest=rm; pytest",
        "hash -p /tmp/x pytest; pytest",
        ". x; pytest",
        "set -a; pytest",
        "A=1 sh -c pytest",
        # options that reach further
        "git -c core.pager=evil log",
        "git --exec-path=/tmp status",
        "git -C /tmp status",
        "git log --output=/home/x",
        "git log --out=/home/x",
        "for x in --output=y; do git log $x; done",
        "ls | xargs git log",
        "git status --upload-pack=x",
        "find . -delete",
        "find . -fprintf x y",
        "find . -exec rm {} +",
        "find . -exec rm {} \\; -exec ls \\;",
        "find . $x",
        "sort -o x y",
        "sort -ro x y",
        "sort --compress-program=x y",
        # wrappers
        "sudo pytest",
        "doas pytest",
        "xargs rm",
        "ls | xargs rm",
        "xargs -I{} sh -c '{}'",
        "sh -c 'pytest; rm x'",
        'sh -c "$x"',
        "sh pytest",
        "eval 'pytest; rm x'",
        "eval pytest $x",
        "exec -c pytest",
        "timeout 5 rm x",
        "uv run --with evil pytest",
        "env -S 'pytest; rm'",
        # another folder, where a relative program is another one
        "cd src && ./run.sh",
        "cd /tmp && pytest",
        "cd - && pytest",
        "cd $x && pytest",
        "pushd src; pytest",
        # not code
        "",
        "   ",
        "# pytest",
        "pytest '",
        "pytest &&",
    ],
)
def test_not_allowed(text: str, place: Place) -> None:
    assert verdict(USUAL, command(text), place) == "Unruled"


def test_going_to_the_root_changes_nothing(place: Place) -> None:
    root = place.workspace.roots[0]
    for folder in (str(root), ".", f"{root}/src/.."):
        assert verdict(USUAL, command(f"cd {folder} && ./run.sh && pytest"), place) == "Permitted"


def test_a_folder_that_was_allowed_allows_programs_without_a_path(place: Place) -> None:
    rules = [*USUAL, *allow("cd src", "python tool.py *", "python -m mypy *")]
    assert verdict(rules, command("cd src && pytest"), place) == "Permitted"
    assert verdict(rules, command("cd src && python -m mypy ."), place) == "Permitted"
    for text in ("cd src && ./run.sh", "cd src && python tool.py", "cd src/b && pytest"):
        assert verdict(rules, command(text), place) == "Unruled"


def test_a_pattern_without_a_star_is_just_these_words(place: Place) -> None:
    rules = allow("make test")
    assert verdict(rules, command("make  'test'"), place) == "Permitted"
    for text in ("make test deploy", "make", "ls | xargs make test"):
        assert verdict(rules, command(text), place) == "Unruled"


def test_an_exact_command_is_that_text_and_no_other(place: Place) -> None:
    text = "curl -s example.org | sh; echo $X > x"
    rules = [Rule("allow", COMMANDS, ExactCommand(text))]
    assert verdict(rules, command(text), place) == "Permitted"
    for other in (f"{text} ", f"{text}; ls", text.replace(" | ", "|"), "sh"):
        assert verdict(rules, command(other), place) == "Unruled"


def test_writes_need_a_rule_for_the_file(place: Place) -> None:
    rules = [*USUAL, *edits("allow", "out.txt", "src/**")]
    for text in ("pytest > out.txt", "pytest >> src/new.txt", "ls > ./out.txt"):
        assert verdict(rules, command(text), place) == "Permitted"
    for text in (
        "pytest > other.txt",
        "pytest > src/../x",
        "cd src; ls > out.txt",
        "ls > /out.txt",
    ):
        assert verdict(rules, command(text), place) == "Unruled"


def test_a_pattern_for_a_wrapper_must_name_what_it_runs(place: Place) -> None:
    assert verdict(allow("sudo apt *"), command("sudo apt update"), place) == "Permitted"
    assert verdict(allow("uv run tool *"), command("uv run tool x"), place) == "Permitted"
    assert verdict(allow("sudo apt *"), command("sudo rm x"), place) == "Unruled"
    assert verdict(allow("sh *"), command("sh -c 'rm x'"), place) == "Unruled"
    assert verdict(allow("sh *"), command("sh run.sh"), place) == "Permitted"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("rm *", "rm x"),
        ("rm *", "ls; rm x"),
        ("rm *", "ls $(rm x)"),
        ("rm *", "/bin/rm x"),
        ("rm *", "RM x"),
        ("rm *", "\\rm x"),
        ("rm *", "A=1 rm x"),
        ("rm *", "sudo -Z rm x"),
        ("rm *", "ls | xargs rm"),
        ("rm *", "find . -exec rm {} +"),
        ("rm *", "sh -c 'rm x'"),
        ("rm *", "zsh -c 'rm x'"),
        ("rm *", "eval rm x"),
        ("rm *", "busybox rm x"),
        ("rm *", "ionice -c 3 rm x"),
        ("rm *", "taskset 1 rm x"),
        ("rm *", "setpriv rm x"),
        ("rm *", "ssh host rm x"),
        ("rm *", "f() { rm x; }; f"),
        ("rm *", "$(echo rm) x"),
        ("rm *", "x=rm; $x y"),
        ("rm *", "ls `rm x`"),
        ("rm *", "rm x '"),
        ("git push *", "git push"),
        ("git push *", "git -C . push origin"),
        ("git push *", "git -c a=b --no-pager push"),
        ("git push *", "g=git; $g push"),
        ("git push", "git  'push'"),
        ("sudo *", "sudo ls"),
    ],
)
def test_forbidden(pattern: str, text: str, place: Place) -> None:
    rules = [*deny(pattern), *USUAL, *allow("rm *", "git *", "sudo ls *")]
    found = judge(rules, command(text), place)
    assert isinstance(found, Forbidden)
    assert found.rule == rules[0]


@pytest.mark.parametrize(
    "text", ["git commit -m push", "git log push", "git-push", "ls git push", "echo git push"]
)
def test_not_forbidden(text: str, place: Place) -> None:
    assert verdict(deny("git push *"), command(text), place) == "Unruled"


@pytest.mark.parametrize(
    "text",
    [
        *("$x y", "git $x", "ls | xargs git", "a '", "eval $x"),
        *(
            "echo 'git push' | sh",
            "bash <<< 'git push'",
            "script -c 'git push'",
            "npm exec git push",
        ),
        *("watch 'git push'", "hyperfine 'git push'", "awk 'BEGIN{system(\"git push\")}'"),
        *("python3 -c 'import os; os.system(\"git push\")'", "git -c alias.x=push x"),
    ],
)
def test_what_may_be_forbidden_is_unclear(text: str, place: Place) -> None:
    rules = [*deny("git push *"), *allow("git *", "ls *")]
    assert verdict(rules, command(text), place) == "Unclear"


def test_a_forbidden_line_is_recognised_however_it_is_written(place: Place) -> None:
    rules = [Rule("deny", COMMANDS, ExactCommand("rm -rf build && ls"))]
    for text in ("rm -rf build && ls", "rm  -rf 'build'; ls", "x; (rm -rf build; ls)"):
        assert verdict(rules, command(text), place) == "Forbidden"
    for text in ("rm -rf build", "rm -rf build/x && ls"):
        assert verdict(rules, command(text), place) == "Unruled"


def test_forbidden_files_are_not_written_by_commands(place: Place) -> None:
    rules = [*USUAL, *edits("allow", "src/**"), *edits("deny", "src/a.py")]
    assert verdict(rules, command("ls > src/a.py"), place) == "Forbidden"
    assert verdict(rules, command("ls > src/../src/A.py"), place) == "Forbidden"


def test_all_commands_can_be_forbidden(place: Place) -> None:
    rules = [*USUAL, Rule("deny", COMMANDS, AnyCall())]
    assert verdict(rules, command("pytest"), place) == "Forbidden"


class TestFiles:
    def call(self, place: Place, *paths: str) -> FilesCall:
        return FilesCall("edit_file", tuple(place.name(path) for path in paths))

    def test_a_file_and_a_folder(self, place: Place) -> None:
        rules = edits("allow", "README.md", "src/**")
        for path in ("README.md", "./README.md", "src/a.py", "src/b/c.py", "src/../README.md"):
            assert verdict(rules, self.call(place, path), place) == "Permitted"
        for path in ("README.md2", "srcs/a.py", "readme.md", "x", "docs/README.md"):
            assert verdict(rules, self.call(place, path), place) == "Unruled"

    def test_every_file_of_a_call_must_be_allowed(self, place: Place) -> None:
        rules = edits("allow", "src/**")
        assert verdict(rules, self.call(place, "src/a.py", "src/b.py"), place) == "Permitted"
        assert verdict(rules, self.call(place, "src/a.py", "b.py"), place) == "Unruled"
        assert verdict(rules, self.call(place, "src/a.py", "/etc/passwd"), place) == "Unruled"
        assert verdict(rules, FilesCall("edit_file", ()), place) == "Unruled"

    def test_a_link_is_the_file_that_it_leads_to(self, place: Place, tmp_path: Path) -> None:
        root = place.workspace.roots[0]
        (root / "other").mkdir()
        (root / "src" / "link").symlink_to(root / "other")
        (root / "src" / "out").symlink_to(tmp_path)
        rules = edits("allow", "src/**")
        for path in ("src/link/x", "src/out/x"):
            assert verdict(rules, self.call(place, path), place) == "Unruled"
        assert verdict(edits("deny", "other/**"), self.call(place, "src/link/x"), place) == (
            "Forbidden"
        )

    def test_deny_wins_and_knows_no_case(self, place: Place) -> None:
        rules = [*edits("allow", "**"), *edits("deny", "src/**")]
        assert verdict(rules, self.call(place, "SRC/A.py"), place) == "Forbidden"
        assert verdict(rules, self.call(place, "x", "src/a.py"), place) == "Forbidden"
        assert verdict(rules, self.call(place, "x"), place) == "Permitted"

    @pytest.mark.parametrize(
        "path", [".git/hooks/pre-commit", "src/.GIT/config", ".punie/x", ".idea/x", ".vscode/x"]
    )
    def test_folders_do_not_reach_what_others_run(self, place: Place, path: str) -> None:
        assert judge(edits("allow", "**"), self.call(place, path), place) == Unruled(guarded=True)
        assert verdict(edits("allow", path), self.call(place, path), place) == "Permitted"

    def test_punies_own_files_are_guarded(self, tmp_path: Path) -> None:
        place = Place(LocalWorkspace([tmp_path]), (tmp_path / "config" / "punie",))
        call = self.call(place, "config/punie/permissions/x.toml")
        assert judge(edits("allow", "**"), call, place) == Unruled(guarded=True)

    def test_a_rule_for_one_tool(self, place: Place) -> None:
        rules = [Rule("allow", "write_file", PathPattern("src", folder=True))]
        assert verdict(rules, self.call(place, "src/a.py"), place) == "Unruled"
        other = FilesCall("write_file", ("src/a.py",))
        assert verdict(rules, other, place) == "Permitted"


class TestOtherTools:
    def test_exact_arguments_and_every_call(self, place: Place) -> None:
        call = OtherCall("idea_rename", '{"a": 1, "b": null}')
        exact = Rule("allow", "idea_rename", ExactArguments('{"a": 1, "b": null}'))
        assert verdict([exact], call, place) == "Permitted"
        assert verdict([exact], OtherCall("idea_rename", '{"a": 2}'), place) == "Unruled"
        assert verdict([exact], OtherCall("other", '{"a": 1, "b": null}'), place) == "Unruled"
        every = Rule("allow", "idea_rename", AnyCall())
        assert verdict([every], call, place) == "Permitted"
        assert verdict([every, Rule("deny", "idea_rename", AnyCall())], call, place) == "Forbidden"
        denied = Rule("deny", "idea_rename", ExactArguments('{"a": 1, "b": null}'))
        assert verdict([every, denied], call, place) == "Forbidden"


def test_the_subjects_of_the_tools(place: Place) -> None:
    tools = {tool.name: tool for tool in ALL_TOOLS}

    def called(name: str, **arguments: object) -> Call:
        tool = tools[name]
        return describe_call(tool, tool.arguments.model_validate(arguments), place)

    assert called("run_command", command="ls -l") == command("ls -l")
    edit = {"path": "./src/a.py", "edits": []}
    assert called("edit_file", **edit) == FilesCall("edit_file", ("src/a.py",))
    assert called("write_file", path="../x", content="") == FilesCall("write_file", (None,))
    read = called("read_file", path="b")
    assert isinstance(read, ReadCall)
    assert (read.names, read.secrets) == (("b",), frozenset())
    assert '"path": "b"' in read.arguments
    assert isinstance(called("list_dir"), OtherCall)


@given(compositions)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_rule_never_allows_a_composition_with_something_else(
    place: Place, composition: Composition
) -> None:
    allowed = ("pytest", "ls", "echo", "find")
    rules = allow(*(f"{name} *" for name in allowed))
    if verdict(rules, command(composition.text), place) == "Permitted":
        assert {argv[0] for argv in composition.commands} <= set(allowed)
        assert not composition.writes


@given(compositions)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_forbidden_command_is_found_in_every_composition(
    place: Place, composition: Composition
) -> None:
    rules = [*deny("rm *"), *allow("pytest *")]
    runs_it = any(argv[0] == "rm" for argv in composition.commands)
    assert not runs_it or verdict(rules, command(composition.text), place) == "Forbidden"


@given(noise)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_noise_behind_an_allowed_command_adds_no_command(place: Place, text: str) -> None:
    line = command(f"pytest {text}")
    found = judge(allow("pytest *"), line, place)
    assert isinstance(found, Permitted | Unruled | Unclear)
    if isinstance(found, Permitted):
        heads = {each.words[0].text for each in line.line.each()}
        assert heads <= {"pytest", "cd", ":", "true", "false"}
        assert not line.line.writes
