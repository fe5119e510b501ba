"""Finding skills, offering them in few words, and reading them."""

from pathlib import Path
from typing import Any

import pytest

from punie.tools.base import ReadLedger, ToolContext, ToolError, ToolLimits
from punie.tools.skills.finding import MOST_SKILLS, Skills, find_skills
from punie.tools.skills.tool import ALL_DESCRIPTIONS_CHARS, skill_tools
from punie.workspace.local import LocalWorkspace

pytestmark = pytest.mark.anyio


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def skill(folder: Path, name: str, description: str = "For tests.", body: str = "Do it.") -> None:
    text = f"---\nname: {name}\ndescription: {description}\n---\n\n{body}\n"
    put(folder / name / "SKILL.md", text)


async def found(root: Path, user: Path | None = None) -> Skills:
    root.mkdir(exist_ok=True)
    return await find_skills(LocalWorkspace([root]), user)


async def read(root: Path, skills: Skills, limit: int = 16_000, **arguments: Any) -> str:
    (tool,) = skill_tools(skills.skills)
    context = ToolContext(LocalWorkspace([root]), ReadLedger(), ToolLimits(result_chars=limit))
    parsed = tool.arguments.model_validate(arguments)
    try:
        await tool.present(context, parsed)
        return (await tool.run(context, parsed)).text
    except ToolError as error:
        return f"error: {error}"


async def test_without_skills_there_is_no_tool(tmp_path: Path) -> None:
    (tmp_path / ".punie/skills/empty").mkdir(parents=True)
    assert await found(tmp_path, tmp_path / "none") == Skills()
    assert skill_tools(()) == ()


async def test_the_projects_come_before_the_users(tmp_path: Path) -> None:
    project, user = tmp_path / "p", tmp_path / "u"
    skill(project / ".agents/skills", "release", "Another one.")
    skill(project / ".punie/skills", "release", "Make a release.")
    skill(user / "skills", "release", "Mine.")
    skill(user / "skills", "pdf", "Fill forms.")
    skills = await found(project, user)
    assert [(s.name, s.description, s.users) for s in skills.skills] == [
        ("release", "Make a release.", False),
        ("pdf", "Fill forms.", True),
    ]
    assert [s.place for s in skills.skills] == [".punie/skills/release", str(user / "skills/pdf")]
    (tool,) = skill_tools(skills.skills)
    assert tool.description.splitlines()[1:] == ["- release: Make a release.", "- pdf: Fill forms."]
    assert tool.parameters is not None
    assert tool.parameters["properties"]["name"]["enum"] == ["release", "pdf"]
    assert "file" in tool.parameters["properties"]


async def test_what_is_no_skill_is_told_in_a_sentence(tmp_path: Path) -> None:
    base = tmp_path / ".punie/skills"
    put(base / "a/SKILL.md", "# No head")
    put(base / "b/SKILL.md", "---\nname: b\n---\n")
    put(base / "c/SKILL.md", "---\nname: Not Good\ndescription: x\n---\n")
    (base / "d").mkdir()
    (base / "d/SKILL.md").write_bytes(b"\x00\xff")
    put(tmp_path.parent / "outside.md", "---\ndescription: x\n---\n")
    (base / "e").mkdir()
    (base / "e/SKILL.md").symlink_to(tmp_path.parent / "outside.md")
    put(tmp_path / ".env", "---\ndescription: x\n---\n")
    (base / "f").mkdir()
    (base / "f/SKILL.md").symlink_to(tmp_path / ".env")
    skills = await found(tmp_path)
    assert skills.skills == ()
    told = skills.troubles
    assert told[0] == (
        ".punie/skills/a/SKILL.md does not begin with a line of ---, so it is no skill."
    )
    assert "has no description" in told[1]
    assert "is named 'Not Good'" in told[2]
    assert "SKILL.md" in told[3]
    assert "workspace" in told[4]
    assert told[5] == ".env may hold secrets, so it is no skill."
    assert all(sentence.endswith(".") and "\n" not in sentence for sentence in told)


async def test_instructions_come_without_the_head_and_name_the_other_files(tmp_path: Path) -> None:
    project, user = tmp_path / "p", tmp_path / "u"
    skill(project / ".punie/skills", "release", body="# Steps\n\n1. Tag.")
    put(project / ".punie/skills/release/scripts/tag.sh", "git tag")
    skill(user / "skills", "pdf", body="Use the form.")
    put(user / "skills/pdf/forms/a.txt", "A form.")
    put(user / "skills/pdf/.env", "KEY=1")
    skills = await found(project, user)
    assert await read(project, skills, name="release") == (
        "# Steps\n\n1. Tag.\n\n(files of this skill: scripts/tag.sh; read one with read_file, as "
        ".punie/skills/release/scripts/tag.sh)"
    )
    assert await read(project, skills, name="pdf") == (
        'Use the form.\n\n(files of this skill: forms/a.txt; read one with "file")'
    )
    assert await read(project, skills, name="pdf", file="forms/a.txt") == "A form."
    said = await read(project, skills, name="release", file="scripts/tag.sh")
    assert said == "error: the files of release are in .punie/skills/release; use read_file"


async def test_no_file_outside_of_the_skill_is_read(tmp_path: Path) -> None:
    project, user = tmp_path / "p", tmp_path / "u"
    skill(user / "skills", "pdf")
    skill(user / "skills", "other")
    put(user / "settings.toml", "secret")
    put(user / "skills/pdf/.env", "secret")
    (user / "skills/pdf/link").symlink_to(user / "settings.toml")
    skills = await found(project, user)
    for file in ("../other/SKILL.md", "../../settings.toml", "/etc/passwd", "link", ".env", "~/x"):
        said = await read(project, skills, name="pdf", file=file)
        assert said.startswith("error: ")
        assert "secret" not in said.removeprefix("error: .env may hold secrets")


async def test_unknown_names_and_long_texts(tmp_path: Path) -> None:
    skill(tmp_path / ".punie/skills", "long", body="word " * 1_000)
    skills = await found(tmp_path)
    assert await read(tmp_path, skills, name="short") == (
        "error: there is no such skill; the skills are long"
    )
    text = await read(tmp_path, skills, limit=1_000, name="long")
    assert len(text) <= 1_000
    assert text.endswith("; read_file .punie/skills/long/SKILL.md gives the rest)")


async def test_many_skills_are_offered_in_bounded_words(tmp_path: Path) -> None:
    for number in range(MOST_SKILLS + 5):
        skill(tmp_path / ".punie/skills", f"skill-{number:02}", "word " * 100)
    skills = await found(tmp_path)
    assert len(skills.skills) == MOST_SKILLS
    assert skills.troubles == ("Of 35 skills only the first 30 are offered.",)
    (tool,) = skill_tools(skills.skills)
    assert len(tool.description) < ALL_DESCRIPTIONS_CHARS + 100
    assert "skill-00: word word" in tool.description
    assert tool.parameters is not None
    assert len(tool.parameters["properties"]["name"]["enum"]) == MOST_SKILLS
    assert "file" not in tool.parameters["properties"]
