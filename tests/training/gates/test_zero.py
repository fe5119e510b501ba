"""Gate zero: what published models and ours pass, and what each planted fault is told as."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from punie.models.catalog import bundled_directory
from punie.training.errors import TrainingError
from punie.training.gates.report import GateReport
from punie.training.gates.zero import gate_zero
from tests.assets import ASSETS, TEMPLATES, needs_assets, template

FORMAT_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
MESSAGES_START = "{%- for message in messages -%}\n"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The bundled model without its weights."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    for name in FORMAT_FILES:
        shutil.copy(bundled_directory() / name, folder)
    return folder


def published(folder: Path, name: str) -> Path:
    """The published tokenizer and config with one of the published templates."""
    folder.mkdir()
    for file in (ASSETS / "qwen3-coder-30b-a3b").glob("*.json"):
        shutil.copy(file, folder)
    (folder / "chat_template.jinja").write_text(template(name))
    return folder


def change(file: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


def rewrite(folder: Path, *replacements: tuple[str, str]) -> None:
    file = folder / "chat_template.jinja"
    text = file.read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)


def found(report: GateReport, name: str) -> str:
    (check,) = (check for check in report.checks if check.name == name)
    return check.found


def only_failure(report: GateReport, name: str) -> str:
    assert [check.name for check in report.failures] == [name], report.lines()
    assert not report.passed
    return found(report, name)


def test_the_bundled_model_passes(tiny: Path) -> None:
    report = gate_zero(tiny)
    assert report.passed, report.lines()
    assert "leaves instructions and tools out" in found(report, "tools")
    assert "<tool_call> 1020" in found(report, "delimiters")
    assert "the template 1017 <|im_end|>; config.json 1015" in found(report, "end of turn")
    assert found(report, "prefix").startswith("Append-only")


@needs_assets
def test_published_models_pass_and_their_differences_are_told(tmp_path: Path) -> None:
    reports = {name: gate_zero(published(tmp_path / name, name)) for name in TEMPLATES}
    for report in reports.values():
        assert report.passed, report.lines()
        assert "shows the name" in found(report, "tools")
        assert "but for accents" in found(report, "texts")
        assert "<tool_call> 151657" in found(report, "delimiters")
        assert "tokenizer_config.json 151645 <|im_end|>" in found(report, "end of turn")
    coder, plain, newer = (reports[name] for name in TEMPLATES)
    assert found(coder, "prefix").startswith("Append-only")
    assert "<think>" not in found(coder, "delimiters")
    assert "<think> 151667" in found(plain, "delimiters")
    assert "when the next question comes" in found(plain, "prefix")
    assert "when the result of its call comes" in found(newer, "prefix")


def test_a_delimiter_in_several_tokens(tiny: Path) -> None:
    def without(content: dict[str, Any]) -> None:
        tokens = content["added_tokens"]
        content["added_tokens"] = [each for each in tokens if "tool_call" not in each["content"]]
        vocabulary = content["model"]["vocab"]
        for name in ("<tool_call>", "</tool_call>"):
            vocabulary.pop(name, None)

    change(tiny / "tokenizer.json", without)
    assert "<tool_call> in " in only_failure(gate_zero(tiny), "delimiters")


def test_delimiters_that_nobody_listed(tiny: Path) -> None:
    rewrite(tiny, ("<tool_call>", "[CALLS]"), ("</tool_call>", "[/CALLS]"))
    report = gate_zero(tiny)
    assert "[CALLS] in " in found(report, "delimiters")
    assert "[/CALLS] in " in found(report, "delimiters")
    assert "a closing tag in a text" in found(report, "calls come back")


@pytest.mark.parametrize("file", ["config.json", "generation_config.json", "tokenizer_config.json"])
def test_ends_that_disagree(tiny: Path, file: str) -> None:
    def other(content: dict[str, Any]) -> None:
        if file == "tokenizer_config.json":
            content["eos_token"] = "<|endoftext|>"
        else:
            content["eos_token_id"] = 1015

    change(tiny / file, other)
    told = only_failure(gate_zero(tiny), "end of turn")
    assert f"{file} does not agree" in told
    assert f"{file} 1015 <|endoftext|>" in told
    assert "the template 1017 <|im_end|>" in told


def test_an_end_that_is_no_token(tiny: Path) -> None:
    change(tiny / "config.json", lambda content: content.update(eos_token_id=[1017, 5000]))
    assert "config.json names an id" in only_failure(gate_zero(tiny), "end of turn")


def test_no_end_at_all(tiny: Path) -> None:
    rewrite(
        tiny,
        (
            "{{- '<|im_end|>\\n' -}}\n{%- elif message.role == 'user'",
            "{%- elif message.role == 'user'",
        ),
    )
    report = gate_zero(tiny)
    assert not report.passed
    assert {check.name for check in report.failures} >= {"end of turn"}


def test_a_template_that_drops_results(tiny: Path) -> None:
    rewrite(tiny, ("~ message.content ~ '\\n</tool_response>", "~ '\\n</tool_response>"))
    assert "to invent it" in only_failure(gate_zero(tiny), "tool results")


def test_a_template_that_ignores_tools(tiny: Path) -> None:
    system = "{%- if messages[0].role == 'system' -%}{{- messages[0].content -}}{%- endif -%}\n"
    rewrite(tiny, (MESSAGES_START, system + MESSAGES_START))
    assert "ignores tools" in only_failure(gate_zero(tiny), "tools")


def test_a_template_that_drops_the_instructions(tiny: Path) -> None:
    rewrite(tiny, (MESSAGES_START, "{{- tools | tojson if tools else '' -}}\n" + MESSAGES_START))
    assert "drops the system message" in only_failure(gate_zero(tiny), "tools")


def test_a_template_that_garbles_values(tiny: Path) -> None:
    rewrite(tiny, ("{{- value -}}", "{{- value | replace('\"', '') -}}"))
    told = only_failure(gate_zero(tiny), "calls come back")
    assert "quotes and backslashes (came back as" in told
    assert "several lines" not in told


def test_a_template_that_prompts_in_another_way(tiny: Path) -> None:
    rewrite(tiny, ("if add_generation_prompt -%}{{- '", "if add_generation_prompt -%}{{- ' "))
    report = gate_zero(tiny)
    assert not report.passed
    assert "another way than it asks for it" in found(report, "training sequences")


def test_a_base_model(tiny: Path) -> None:
    chat = (
        "{%- for message in messages -%}{{- '<|im_start|>' ~ message.role ~ '\\n' ~ "
        "(message.content if message.role != 'tool' else '') ~ '<|im_end|>\\n' -}}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
    )
    (tiny / "chat_template.jinja").write_text(chat)
    assert "base or plain chat model" in only_failure(gate_zero(tiny), "tool support")
    (tiny / "chat_template.jinja").unlink()
    assert "instruction-tuned" in only_failure(gate_zero(tiny), "files")


def test_a_template_that_refuses_results(tiny: Path) -> None:
    refusal = (
        "{%- if message.role == 'tool' -%}{{- raise_exception('No tools here.') -}}{%- endif -%}"
    )
    rewrite(tiny, (MESSAGES_START, MESSAGES_START + refusal))
    assert "No tools here." in only_failure(gate_zero(tiny), "tool support")


def test_too_few_rows(tiny: Path) -> None:
    change(tiny / "config.json", lambda content: content.update(vocab_size=1020))
    assert "the last 4" in only_failure(gate_zero(tiny), "vocabulary")
    change(tiny / "config.json", lambda content: content.pop("vocab_size"))
    assert "no vocab_size" in only_failure(gate_zero(tiny), "vocabulary")


def test_a_tokenizer_that_changes_texts(tiny: Path) -> None:
    lower = {"type": "Lowercase"}
    change(tiny / "tokenizer.json", lambda content: content.update(normalizer=lower))
    report = gate_zero(tiny)
    assert "comes back as '\\r\\nupper lower" in found(report, "texts")
    assert not report.passed


def test_files_that_cannot_be_read(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no model folder"):
        gate_zero(tmp_path / "missing")
    (tiny / "tokenizer.json").write_text("{")
    assert "tokenizer.json cannot be read" in only_failure(gate_zero(tiny), "files")
    (tiny / "config.json").unlink()
    assert "has no config.json" in only_failure(gate_zero(tiny), "files")


def test_the_report_speaks_of_these_files_alone(tiny: Path) -> None:
    before = gate_zero(tiny).subject_hash
    (tiny / "gate-zero.json").write_text("{}")
    assert gate_zero(tiny).subject_hash == before
    change(tiny / "config.json", lambda content: content.update(rope_theta=1))
    assert gate_zero(tiny).subject_hash != before


def test_neither_weights_nor_mlx_are_needed(tiny: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from punie.training.gates.zero import gate_zero; "
        "assert gate_zero(Path(sys.argv[1])).passed; "
        "assert not {'mlx.core', 'pydantic_ai', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tiny)], check=True)
