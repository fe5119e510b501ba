"""AGENTS.md holds what the project's files say, and nothing else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.agent.guide import guide_text, missing_lines
from punie.agent.project_facts import find_facts
from punie.workspace.local import LocalWorkspace

pytestmark = pytest.mark.anyio


async def guide(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return guide_text(await find_facts(LocalWorkspace([root])))


async def test_a_modern_project(tmp_path: Path) -> None:
    text = await guide(
        tmp_path,
        {
            "pyproject.toml": """
                [project]
                name = "shop"
                description = "Sells things."
                requires-python = ">=3.12"
                scripts = { shop = "shop.cli:main" }
                [dependency-groups]
                dev = ["pytest>=8", "ruff"]
                [tool.ruff]
                line-length = 100
                [tool.ruff.format]
                quote-style = "single"
                [tool.mypy]
                strict = true
            """,
            "uv.lock": "",
            ".pre-commit-config.yaml": "repos:\n- repo: x\n  hooks:\n  - id: ruff\n",
            "src/shop/__init__.py": "",
            "src/shop/__main__.py": "",
            "src/notes/readme.txt": "",
            "tests/test_shop.py": "",
            "docs/index.md": "",
            ".venv/lib/__init__.py": "",
            "data/items.csv": "",
        },
    )
    assert text == (
        "# shop\n\nSells things.\n\n"
        "- Python: `>=3.12`\n- Set up: `uv sync`\n\n"
        "## Layout\n\n- `docs/`: documentation\n- `tests/`: tests\n- `src/shop/`: package\n\n"
        "## Commands\n\n"
        "- Tests: `uv run pytest`\n- Lint: `uv run ruff check .`\n"
        "- Format: `uv run ruff format .`\n- Types: `uv run mypy`\n"
        "- Before a commit: `pre-commit run --all-files`\n\n"
        "## Entry points\n\n"
        "- `shop`: `shop.cli:main`\n- `python -m shop`: `src/shop/__main__.py`\n\n"
        "## Style\n\n"
        "- Ruff, lines of at most 100 characters\n- Single quotes\n"
        "- Types are checked by mypy in strict mode\n"
    )


async def test_named_jobs_come_before_their_tools(tmp_path: Path) -> None:
    text = await guide(
        tmp_path,
        {
            "Makefile": "VAR := x\n.PHONY: test\ntest: deps\n\tpytest\nlint:\n\truff\n"
            "check: lint\n",
            "pyproject.toml": "[tool.ruff]\n[tool.mypy]\n[tool.pytest.ini_options]\n",
        },
    )
    assert "- Tests: `make test`" in text
    assert "- Lint: `make lint`" in text
    assert "- All checks: `make check`" in text
    assert "- Types: `mypy`" in text
    assert text.startswith(f"# {tmp_path.name}\n")


async def test_an_older_project(tmp_path: Path) -> None:
    text = await guide(
        tmp_path,
        {
            "setup.cfg": "[metadata]\nname = old\ndescription = An old one\n[options]\n"
            "python_requires = >=3.8\n[options.entry_points]\nconsole_scripts =\n"
            "    old = old.a:b\n",
            "setup.py": "",
            "requirements.txt": "flask\n",
            "tox.ini": "[tox]\nenvlist = py38\n[testenv]\ncommands = unittest\n",
            "noxfile.py": "import nox\n\n@nox.session(python=['3'])\ndef typing(session):\n    x\n",
            "old/__init__.py": "",
            "manage.py": "",
        },
    )
    assert text == (
        "# old\n\nAn old one\n\n- Python: `>=3.8`\n- Set up: `pip install -r requirements.txt`\n\n"
        "## Layout\n\n- `old/`: package\n\n"
        "## Commands\n\n- Types: `nox -s typing`\n- Tests: `tox`\n\n"
        "## Entry points\n\n- `old`: `old.a:b`\n- `python manage.py`: `manage.py`\n"
    )


async def test_poetry_and_just(tmp_path: Path) -> None:
    text = await guide(
        tmp_path,
        {
            "pyproject.toml": '[tool.poetry]\nname = "p"\n[tool.poetry.dependencies]\n'
            'python = "^3.11"\n[tool.black]\nline-length = 88\n[tool.poe.tasks]\nfmt = "black ."\n',
            "poetry.lock": "",
            "justfile": "x := '1'\ntest *args:\n    pytest\n",
        },
    )
    assert "- Python: `^3.11`\n- Set up: `poetry install`" in text
    assert "- Tests: `just test`\n- Format: `poetry run poe fmt`" in text
    assert "- Black, lines of at most 88 characters" in text


async def test_an_empty_folder_gives_no_more_than_its_name(tmp_path: Path) -> None:
    assert await guide(tmp_path, {}) == f"# {tmp_path.name}\n"
    assert await guide(tmp_path, {"README.md": "# My *notes* #\n"}) == (
        f"# {tmp_path.name}\n\nMy *notes*\n"
    )


@given(
    name=st.sampled_from(
        ["pyproject.toml", "setup.cfg", "Makefile", ".editorconfig", "README.md", "noxfile.py"]
    ),
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200),
)
async def test_broken_files_are_passed_over(
    tmp_path_factory: pytest.TempPathFactory, name: str, text: str
) -> None:
    root = tmp_path_factory.mktemp("project")
    written = await guide(root, {name: text})
    assert written.startswith("# ")
    assert written.endswith("\n")


def test_facts_that_a_file_lacks() -> None:
    new = "# p\n\n- Python: `3.12`\n\n## Commands\n\n- Tests: `pytest`\n"
    assert missing_lines(new, "Use `3.12`.\n- Python: `3.12`\n") == ["- Tests: `pytest`"]
    assert missing_lines(new, new) == []
