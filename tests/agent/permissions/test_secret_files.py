"""What rules and modes say of calls about files that are likely to hold secrets."""

from pathlib import Path
from typing import NoReturn

import pytest

from punie.agent.events import Mode
from punie.agent.permissions import named_files
from punie.agent.permissions.choices import offers
from punie.agent.permissions.judging import (
    CommandCall,
    FilesCall,
    Forbidden,
    OtherCall,
    Permitted,
    Place,
    ReadCall,
    Unruled,
    Verdict,
    describe_call,
    judge,
)
from punie.agent.permissions.named_files import secret_files_named
from punie.agent.permissions.rules import (
    COMMANDS,
    EDITS,
    READS,
    AnyCall,
    ExactArguments,
    ExactCommand,
    PathPattern,
    Rule,
    RuleError,
    parse_command_pattern,
    parse_path_pattern,
)
from punie.agent.permissions.shell import read_command_line
from punie.agent.permissions.toml_rules import parse_rules
from punie.agent.policy import Allow, Ask, Deny, decide
from punie.tools.base import AnyTool, Effect, Tool
from punie.tools.catalog import ALL_TOOLS
from punie.tools.mcp.arguments import JsonArguments

MODES: tuple[Mode, ...] = ("ask", "accept_edits", "plan", "auto")


@pytest.fixture
def secrets(place: Place) -> Place:
    root = place.workspace.roots[0]
    (root / ".env").write_text("TOKEN=x\n")
    (root / "link").symlink_to(".env")
    (root / "deploy").mkdir()
    (root / "deploy" / "id_rsa").write_text("key\n")
    (root / "deploy" / "key").symlink_to("id_rsa")
    (root / "notes.txt").write_text("notes\n")
    return place


def called(place: Place, name: str, **arguments: object) -> Verdict:
    tool = next(tool for tool in ALL_TOOLS if tool.name == name)
    call = describe_call(tool, tool.arguments.model_validate(arguments), place)
    return judge([], call, place)


def reading(decision: str, *paths: str) -> list[Rule]:
    kind = "allow" if decision == "allow" else "deny"
    return [Rule(kind, READS, parse_path_pattern(path)) for path in paths]  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("effect", ["read", "edit", "execute", "external"])
def test_no_mode_lets_a_secret_file_pass(mode: Mode, effect: Effect) -> None:
    decision = decide(mode, effect, Unruled(secret=True))
    assert isinstance(decision, Deny if mode == "plan" and effect != "read" else Ask)


@pytest.mark.parametrize(
    "path", [".env", "./.env", "src/../.env", "link", ".env/", "deploy/id_rsa"]
)
def test_every_tool_that_shows_or_changes_it_is_asked_about(secrets: Place, path: str) -> None:
    absolute = str(secrets.workspace.roots[0] / path)
    for each in (path, absolute):
        assert called(secrets, "read_file", path=each) == Unruled(secret=True)
        assert called(secrets, "search", pattern="x", path=each) == Unruled(secret=True)
        for command in ("diff", "show", "blame"):
            assert called(secrets, "git", command=command, path=each) == Unruled(secret=True)
        asked = Unruled(secret=True)
        assert called(secrets, "edit_file", path=each, edits=[]) == asked
        assert called(secrets, "write_file", path=each, content="") == asked
        assert called(secrets, "move", path=each, to="plain.txt") == asked
    assert called(secrets, "git", command="blame", path=f"{path}:1-2") == Unruled(secret=True)


def test_other_files_and_names_alone_are_not_asked_about(secrets: Place) -> None:
    for path in ("notes.txt", "src/a.py", ".", "deploy", "missing", "../outside"):
        assert called(secrets, "read_file", path=path) == Unruled()
        assert called(secrets, "search", pattern="x", path=path) == Unruled()
        assert called(secrets, "list_dir", path=path) == Unruled()
    assert called(secrets, "git", command="status", path=".env") == Unruled()
    assert called(secrets, "git", command="diff") == Unruled()
    assert decide("ask", "read", Unruled()) == Allow()


def test_rules_allow_and_forbid_reading(secrets: Place) -> None:
    env = ReadCall("read_file", (".env",), frozenset({".env"}), '{"path": ".env"}')
    key = ReadCall("read_file", ("deploy/id_rsa",), frozenset({"deploy/id_rsa"}))
    plain = ReadCall("read_file", ("src/a.py",))
    assert judge(reading("allow", ".env"), env, secrets) == Unruled()
    assert judge(reading("allow", ".env"), key, secrets) == Unruled(secret=True)
    assert judge(reading("allow", "deploy/**"), key, secrets) == Unruled()
    assert judge(reading("allow", "**"), env, secrets) == Unruled()
    exactly = Rule("allow", "read_file", ExactArguments('{"path": ".env"}'))
    assert judge([exactly], env, secrets) == Permitted()
    assert judge([Rule("allow", "read_file", AnyCall())], env, secrets) == Unruled(secret=True)
    assert judge([Rule("allow", EDITS, parse_path_pattern("**"))], env, secrets) == Unruled(
        secret=True
    )
    [never] = reading("deny", ".ENV")
    assert judge([never], env, secrets) == Forbidden(never)
    assert judge([*reading("allow", ".env"), never], env, secrets) == Forbidden(never)
    assert judge([never], plain, secrets) == Unruled()
    [source] = reading("deny", "src/**")
    assert judge([source], plain, secrets) == Forbidden(source)
    # What a folder shows leaves out secret files, but not what any other rule hides.
    everything = ReadCall("search", (".",))
    assert judge([never], everything, secrets) == Unruled()
    assert judge([source], everything, secrets) == Forbidden(source)
    with pytest.raises(RuleError, match="too much to allow"):
        Rule("allow", READS, AnyCall())


def test_rules_for_edits_of_folders_do_not_reach_secret_files(secrets: Place) -> None:
    call = FilesCall("write_file", ("deploy/id_rsa",), frozenset({"deploy/id_rsa"}))
    folder = Rule("allow", EDITS, parse_path_pattern("deploy/**"))
    assert judge([folder], call, secrets) == Unruled(secret=True)
    exactly = Rule("allow", EDITS, parse_path_pattern("deploy/id_rsa"))
    assert judge([exactly], call, secrets) == Permitted()


def test_the_rules_as_they_stand_in_the_file() -> None:
    [rule] = parse_rules('[[rules]]\ndecision = "allow"\ntool = "read"\npath = ".env"\n')
    assert rule == Rule("allow", READS, PathPattern(".env"))
    assert str(rule) == "allow reading of `.env`"


def test_the_answers_to_the_question(secrets: Place) -> None:
    call = ReadCall("read_file", (".env",), frozenset({".env"}))
    found = {offer.choice.id: offer for offer in offers(call, [], secrets)}
    assert [offer.choice.name for offer in found.values()] == [
        "Allow",
        "Always allow reading of `.env`",
        "Deny",
        "Never allow reading of `.env`",
    ]
    assert judge(found["allow_always"].rules, call, secrets) == Unruled()
    assert isinstance(judge(found["reject_always"].rules, call, secrets), Forbidden)


def test_tools_of_servers_that_name_a_secret_file(secrets: Place) -> None:
    call = OtherCall("idea_get_text", '{"path": ".env"}', secret=True)
    every = Rule("allow", "idea_get_text", AnyCall())
    assert judge([every], call, secrets) == Unruled(secret=True)
    exactly = Rule("allow", "idea_get_text", ExactArguments('{"path": ".env"}'))
    assert judge([exactly], call, secrets) == Permitted()


def test_tools_of_the_ide_show_no_secret_file_unasked(secrets: Place) -> None:
    async def never(*_: object) -> NoReturn:
        raise AssertionError

    looks = Tool("ide_look", "Look.", JsonArguments, "read", never, never)
    sends = Tool("post_send", "Send.", JsonArguments, "external", never, never)

    def judged(tool: AnyTool, *rules: Rule, **arguments: object) -> Verdict:
        call = describe_call(tool, JsonArguments.model_validate(arguments), secrets)
        return judge(rules, call, secrets)

    for path in (".env", "link", "src/../.env", f"file://{secrets.workspace.roots[0]}/.env"):
        for given in ({"filePath": path, "line": 1}, {"file_paths": ["src/a.py", path]}):
            assert judged(looks, **given) == Unruled(secret=True)
            assert judged(sends, **given) == Unruled(secret=True)
    assert judged(looks, filePath="src/a.py") == Unruled()
    assert judged(looks, q="item.key") == Unruled()
    [never_read] = reading("deny", "src/**")
    assert judged(looks, never_read, filePath="src/a.py") == Forbidden(never_read)
    assert judged(looks, *reading("allow", ".env"), filePath=".env") == Unruled()


GENEROUS = [
    Rule("allow", COMMANDS, parse_command_pattern(pattern))
    for pattern in ("cat *", "head *", "grep *", "ls *", "git *", "pytest *", "python -m foo *")
]


@pytest.mark.parametrize(
    "line",
    [
        "cat .env",
        "cat ./.env",
        "cat src/../.env",
        "cat '.env'",
        'cat ".e"nv',
        "cat .e\\nv",
        "cat .e''nv",
        "cat $'\\x2eenv'",
        "cat $'.\\145nv'",
        "cat $'.\\u0065nv'",
        "cat .e*",
        "cat .en?",
        "cat .[e]nv",
        "cat .{env,gitignore}",
        "cat .{a,e}nv",
        "cat .e${NOTHING}nv",
        "cat .e$(true)nv",
        "cat < .env",
        "cat <.env",
        "cat 0<.env",
        "cat link",
        "cat l*",
        "cat *",
        "cat deploy/*",
        "cat deploy/id_rsa",
        "cat */id_rsa",
        "cat $PWD/.env",
        "cat ~/.ssh/id_ed25519",
        "cat /home/other/.netrc",
        "cat src/a.py .env",
        "ls && cat .env",
        "git show HEAD:.env",
        "git diff -- .env",
        "git log -p -- .env",
        "grep -f .env src/a.py",
        "grep -r x --include=.env .",
        "cat -- .env",
        "cat .ENV",
        "cat .e\\\nnv",
        "cat .e{n..n}v",
        "cat .e{l..o}v",
        "cat .en[^x]",
        "cat .en[[:alpha:]]",
        "cat .e$1nv",
        "cat .e$(echo $(true))nv",
        "cat .e${X:-${Y}}nv",
        "cd deploy && cat i*",
        "cd deploy && cat key",
        "pushd ./deploy; cat ?d_rsa",
        "cat ~/.netr*",
        "head -c100 .env.local",
    ],
)
def test_a_command_that_names_one_is_asked_about_whatever_is_allowed(
    secrets: Place, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(secrets.workspace.roots[0].parent))
    (secrets.workspace.roots[0].parent / ".netrc").touch()
    call = CommandCall(COMMANDS, read_command_line(line))
    verdict = judge(GENEROUS, call, secrets)
    assert not isinstance(verdict, Permitted)
    assert isinstance(verdict, Unruled)
    assert verdict.secret
    assert decide("auto", "execute", verdict) == Ask()
    exactly = Rule("allow", COMMANDS, ExactCommand(line))
    assert judge([exactly], call, secrets) == Permitted()


@pytest.mark.parametrize(
    "line",
    [
        "cat src/a.py",
        "cat notes.txt",
        "cat .env.example",
        "cat src/*",
        "ls",
        "git log --format=%H",
        "git diff HEAD~1",
        "grep -n environment src/a.py",
        "cat ~/.ssh/id_ed25519.pub",
        "cd . && cat src/*",
        "cat src/{a..b}.py",
    ],
)
def test_other_commands_are_allowed_as_before(secrets: Place, line: str) -> None:
    assert judge(GENEROUS, CommandCall(COMMANDS, read_command_line(line)), secrets) == Permitted()


def test_attributes_in_code_are_no_files(secrets: Place) -> None:
    root = secrets.workspace.roots[0]
    for line in ("python -c 'print(item.key)'", "jq .data.key x.json", "node -e 'process.env.A'"):
        assert secret_files_named(line, root) == ()
    (root / "item.key").touch()
    assert secret_files_named("python -c 'print(item.key)'", root) == ("item.key",)
    assert secret_files_named("cd src && cat server.key", root) == ("server.key",)
    assert secret_files_named("cat src/server.key", root) == ("src/server.key",)


def test_rules_about_reading_hold_for_commands_too(secrets: Place) -> None:
    cat = CommandCall(COMMANDS, read_command_line("cat .env"))
    assert judge([*GENEROUS, *reading("allow", ".env")], cat, secrets) == Permitted()
    [never] = reading("deny", "src/**")
    hidden = CommandCall(COMMANDS, read_command_line("cat 's'rc/a.py"))
    assert judge([*GENEROUS, never], hidden, secrets) == Forbidden(never)


def test_wildcards_that_match_too_much_count_as_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named_files, "_MOST_FOUND", 20)
    for number in range(5):
        (tmp_path / f"d{number}").mkdir()
        for other in range(5):
            (tmp_path / f"d{number}" / f"f{other}").touch()
    assert secret_files_named("cat */*", tmp_path) == ("*/*",)
    assert secret_files_named("cat d1/*", tmp_path) == ()


def test_endless_input_is_read_in_no_time(tmp_path: Path) -> None:
    for line in ("{a,b}" * 2_000, "$(" * 4_000, "'" * 8_000, "{" * 4_000 + "," + "}" * 4_000):
        assert secret_files_named(f"cat {line}", tmp_path) == ()
