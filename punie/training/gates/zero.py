"""Gate zero: whether a model's config, tokenizer and chat template can be trained and served.

It needs neither weights nor MLX, so it is asked before anything is downloaded or trained.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from punie.models.architecture import text_config
from punie.models.catalog import ModelUnavailable, read_json_object
from punie.models.mlx.chat.renderer import TemplateError
from punie.models.mlx.chat_format import ChatFormat, declared_ends, tool_dictionary
from punie.models.traits import template_text
from punie.training.data.example import Example, Message, PromptPrefix
from punie.training.data.sequences import TrainingSequence, training_sequences
from punie.training.errors import TrainingError
from punie.training.gates.delimiters import (
    ANSWER,
    KEY,
    NAME,
    PROBE_TOOL,
    QUESTION,
    RESULT,
    THOUGHT,
    VALUE,
    Delimiter,
    end_of_turn,
    find_delimiters,
    probe_call,
    rendered,
)
from punie.training.gates.hostile_calls import HOSTILE, lost_calls
from punie.training.gates.report import Check, GateReport
from punie.training.hashing import folder_hash

_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.*",
)
_SYSTEM = "qzinstructions"


def gate_zero(model: Path) -> GateReport:
    """Look at a model folder's config, tokenizer and template.

    What cannot be read is a check that failed, and ends the report.

    Raises:
        TrainingError: there is no such folder.
    """
    if not model.is_dir():
        raise TrainingError(f"There is no model folder {model}; name a folder that holds one.")
    return GateReport(
        gate="zero",
        subject=str(model),
        subject_hash=folder_hash(model, _FILES),
        checks=tuple(_checks(model)),
    )


def _checks(model: Path) -> Iterator[Check]:
    try:
        config = read_json_object(model / "config.json")
        template = template_text(model)
        chat_format = ChatFormat.read(model)
    except ModelUnavailable as error:
        yield Check(name="files", passed=False, found=str(error))
        return
    yield _vocabulary(config, chat_format)
    yield _texts(chat_format)
    support = _refusing("tool support", lambda: _tool_support(chat_format))
    yield support
    if not support.passed:
        return
    yield _refusing("delimiters", lambda: _delimiters(chat_format, template))
    yield _refusing("end of turn", lambda: _ends(model, chat_format))
    yield _refusing("tools", lambda: _tools(chat_format))
    yield _refusing("tool results", lambda: _results(chat_format))
    yield _refusing("calls come back", lambda: _round_trip(chat_format))
    yield _refusing("prefix", lambda: _prefix(chat_format))
    yield _refusing("training sequences", lambda: _sequences(chat_format))


def _refusing(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except TrainingError as error:
        return Check(name=name, passed=False, found=str(error))
    except TemplateError as error:
        found = f"{error}; training and the agent both need such messages."
        return Check(name=name, passed=False, found=found)


def _vocabulary(config: dict[str, Any], chat_format: ChatFormat) -> Check:
    name = "vocabulary"
    rows, needed = text_config(config).get("vocab_size"), chat_format.vocabulary.size
    if not isinstance(rows, int):
        found = (
            "config.json has no vocab_size, so nothing tells whether the weights know all tokens."
        )
        return Check(name=name, passed=False, found=found)
    if rows < needed:
        found = (
            f"config.json has {rows:,} tokens and the tokenizer {needed:,}: the last "
            f"{needed - rows:,} would be read and trained with the weights of none."
        )
    else:
        found = f"{rows:,} tokens in config.json, {needed:,} in the tokenizer."
    return Check(name=name, passed=rows >= needed, found=found, measured=rows, limit=needed)


_TEXTS = (
    "def f(x):\n\treturn x + 1  # two  spaces\n",
    "\r\nUPPER lower _snake CamelCase 0x1F 1234567890\n\n\n",
    "naïve Größe 你好 \U0001f9ff \u00a0\u2028 {}[]()<>\\|\"'`~",
    "   \n \t",
)
_DECOMPOSED = "e\u0301"
"""An accent as a character of its own; many tokenizers join it with its letter."""


def _texts(chat_format: ChatFormat) -> Check:
    """Tell whether texts become tokens and the same texts again."""

    def again(text: str) -> str:
        return chat_format.vocabulary.text(chat_format.vocabulary.encode_text(text))

    changed = [text for text in _TEXTS if again(text) != text]
    if changed:
        found = (
            f"The tokenizer changes texts: {changed[0]!r} comes back as {again(changed[0])!r}, so "
            "training would teach other texts than files hold."
        )
    elif again(_DECOMPOSED) != _DECOMPOSED:
        found = "Texts come back as they were, but for accents, which are joined with their letter."
    else:
        found = "Texts come back as they were."
    return Check(name="texts", passed=not changed, found=found)


def _tool_support(chat_format: ChatFormat) -> Check:
    """Tell a model that was made to call tools from one that was not."""
    question = {"role": "user", "content": QUESTION}
    conversation = [question, probe_call(), {"role": "tool", "content": RESULT}]
    calls = all(word in rendered(chat_format, conversation[:2]) for word in (NAME, KEY, VALUE))
    results = RESULT in rendered(chat_format, conversation)
    shown = NAME in rendered(chat_format, [question], [PROBE_TOOL])
    if calls:
        found = "The template writes the calls of an answer."
    elif results or shown:
        found = (
            "The template drops the calls of an answer: training would teach to answer without "
            "calling a tool."
        )
    else:
        found = (
            "The template knows no tools, neither calls nor results: this is a base or plain chat "
            "model; choose an instruction-tuned one that calls tools."
        )
    return Check(name="tool support", passed=calls, found=found)


def _delimiters(chat_format: ChatFormat, template: str) -> Check:
    found = find_delimiters(chat_format, template)
    split = [mark for mark in found if not mark.is_single]
    if split:
        said = (
            f"{_listed(split)}: training would have to teach the pieces one by one, and a file "
            "that spells them would end a turn or begin a call."
        )
    elif not found:
        said = "The template writes nothing between turns, so a model cannot learn where one ends."
    else:
        said = f"Each is one token: {_listed(found)}."
    return Check(
        name="delimiters",
        passed=bool(found) and not split,
        found=said,
        measured=len(split),
        limit=0,
    )


def _listed(marks: list[Delimiter]) -> str:
    return ", ".join(map(str, marks))


def _ends(model: Path, chat_format: ChatFormat) -> Check:
    """Compare the end of a turn in the template with what the files name."""
    name = "end of turn"
    written = end_of_turn(chat_format)
    if not written or not written[0].is_single:
        what = f"ends a turn with {written[0]}" if written else "writes nothing behind an answer"
        found = f"The template {what}, so training teaches no token that ends an answer."
        return Check(name=name, passed=False, found=found)
    end = written[0].tokens[0]
    ends = {file: ids for file, ids in declared_ends(model, chat_format.vocabulary).items() if ids}
    told = [
        f"the template {_named(chat_format, end)}",
        *(
            f"{file} {' and '.join(_named(chat_format, token) for token in sorted(ids))}"
            for file, ids in ends.items()
        ),
    ]
    other = [file for file, ids in ends.items() if end not in ids]
    unknown = [
        file for file, ids in ends.items() if any(not _is_token(chat_format, i) for i in ids)
    ]
    listed = "; ".join(told)
    if not ends:
        found = f"{listed}; no file names it, so other programs would not stop where a turn ends."
    elif unknown:
        found = f"{listed}; {unknown[0]} names an id that the tokenizer has no token for."
    elif other:
        found = (
            f"{listed}; {' and '.join(other)} does not agree: trained answers would run on into "
            "the next turn, or end in the middle."
        )
    else:
        found = f"All agree: {listed}."
    return Check(name=name, passed=bool(ends) and not other and not unknown, found=found)


def _named(chat_format: ChatFormat, token: int) -> str:
    return f"{token} {chat_format.vocabulary.text([token]) or '(no token)'}"


def _is_token(chat_format: ChatFormat, token: int) -> bool:
    return bool(chat_format.vocabulary.text([token]))


def _tools(chat_format: ChatFormat) -> Check:
    """Tell whether the model is shown its tools, or is to have learned them."""
    messages = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": QUESTION}]
    text = rendered(chat_format, messages, [PROBE_TOOL])
    words = {
        "its name": NAME,
        "its description": PROBE_TOOL.description,
        "its arguments": KEY,
        "what they mean": PROBE_TOOL.parameters["properties"][KEY]["description"],
    }
    missing = [what for what, word in words.items() if word not in text]
    told = _SYSTEM in text
    if not missing and not told:
        found = "The template drops the system message: the agent's instructions would not be read."
        missing = ["the instructions"]
    elif not missing:
        found = "The template shows the name, description and arguments of each tool."
    elif len(missing) == len(words) and not told:
        found = "The template leaves instructions and tools out: the model knows those it learned."
        missing = []
    elif len(missing) == len(words):
        found = (
            "The template ignores tools: training would teach calls of tools that the model is "
            "never shown, and a new tool could not be used at all."
        )
    else:
        found = f"Of a tool the template leaves out {' and '.join(missing)}."
    return Check(name="tools", passed=not missing, found=found)


def _results(chat_format: ChatFormat) -> Check:
    other = RESULT.upper()
    conversation: list[dict[str, Any]] = [
        {"role": "user", "content": QUESTION},
        probe_call(),
        {"role": "tool", "content": RESULT},
        {"role": "tool", "content": other},
        {"role": "assistant", "content": ANSWER},
    ]
    text = rendered(chat_format, conversation)
    places = [text.find(word) for word in (QUESTION, VALUE, RESULT, other, ANSWER)]
    if places[2] < 0 or places[3] < 0:
        found = (
            "The template drops tool results: training would teach to answer without what the "
            "tools returned, that is to invent it."
        )
        return Check(name="tool results", passed=False, found=found)
    if places != sorted(places) or places[0] < 0:
        found = "The template changes the order of question, call, results and answer."
        return Check(name="tool results", passed=False, found=found)
    found = "Question, call, results and answer come in this order."
    return Check(name="tool results", passed=True, found=found)


def _round_trip(chat_format: ChatFormat) -> Check:
    lost = lost_calls(chat_format)
    if lost:
        found = (
            f"{len(lost)} of {len(HOSTILE)} hard calls do not come back as they were, so training "
            f"would teach calls that are read otherwise: {'; '.join(lost)}."
        )
    else:
        found = f"All {len(HOSTILE)} hard calls come back as they were written."
    return Check(name="calls come back", passed=not lost, found=found, measured=len(lost), limit=0)


_THINKING: list[dict[str, Any]] = [
    {"role": "user", "content": QUESTION},
    probe_call(thought=THOUGHT),
    {"role": "tool", "content": RESULT},
    {"role": "assistant", "content": ANSWER, "reasoning_content": THOUGHT},
    {"role": "user", "content": QUESTION},
    {"role": "assistant", "content": ANSWER, "reasoning_content": THOUGHT},
]
_PLAIN: list[dict[str, Any]] = [
    {key: value for key, value in message.items() if key != "reasoning_content"}
    for message in _THINKING
]
_CONVERSATIONS = {"without thoughts": _PLAIN, "with thoughts": _THINKING}
_GROWTH = ((1, "the question"), (3, "the result of its call"), (5, "the next question"))


def _prefix(chat_format: ChatFormat) -> Check:
    """Tell whether a conversation only grows, and if not what changes and when.

    Either is fine: each turn that is rewritten becomes a training sequence of its own.
    """
    rewritten = [
        f"{name}, when {change}"
        for name, messages in _CONVERSATIONS.items()
        if (change := _first_change(chat_format, messages)) is not None
    ]
    if rewritten:
        found = f"Not append-only: {'; '.join(rewritten)}."
    else:
        found = "Append-only: each prompt extends the one before, token for token."
    return Check(name="prefix", passed=True, found=found)


def _first_change(chat_format: ChatFormat, messages: list[dict[str, Any]]) -> str | None:
    before: list[int] = []
    for length, what in _GROWTH:
        now = chat_format.encode(messages[:length]).tokens
        if now[: len(before)] != before:
            pairs = enumerate(zip(before, now, strict=False))
            place = next((at for at, (old, new) in pairs if old != new), len(now))
            was = chat_format.vocabulary.text(before[place : place + 8])
            return f"{what} comes, token {place} of {len(before)} changes, where {was!r} began"
        before = now
    return None


def _sequences(chat_format: ChatFormat) -> Check:
    """Tell whether exactly what the assistant writes is learned."""
    told = []
    for name, messages in _CONVERSATIONS.items():
        sequences = _training_sequences(chat_format, messages)
        trouble = _wrongly_learned(chat_format, sequences)
        if trouble is not None:
            return Check(name="training sequences", passed=False, found=trouble)
        learned = sum(sum(each.learned) for each in sequences)
        total = sum(len(each.ids) for each in sequences)
        told.append(f"{name} {len(sequences)} ({learned} of {total} tokens learned)")
    found = f"Sequences of a conversation with three answers: {', '.join(told)}."
    return Check(name="training sequences", passed=True, found=found)


def _training_sequences(
    chat_format: ChatFormat, messages: list[dict[str, Any]]
) -> list[TrainingSequence]:
    example = Example(messages=tuple(Message.model_validate(each) for each in messages))
    tools = (tool_dictionary(PROBE_TOOL),)
    return training_sequences(chat_format, example, PromptPrefix(instructions=_SYSTEM, tools=tools))


def _wrongly_learned(chat_format: ChatFormat, sequences: list[TrainingSequence]) -> str | None:
    learned, unended = "", 0
    for each in sequences:
        marked = list(zip(each.ids, each.learned, strict=True))
        learned += chat_format.vocabulary.text(token for token, is_learned in marked if is_learned)
        follows = [*each.learned[1:], False]
        unended += sum(
            is_learned and not more and token not in chat_format.stop_ids
            for (token, is_learned), more in zip(marked, follows, strict=True)
        )
    if QUESTION in learned or RESULT in learned:
        return "Questions or results count as the assistant's words: it would learn to invent them."
    if VALUE not in learned or ANSWER not in learned:
        return "Not all that the assistant writes is learned."
    if unended:
        return "Not every answer ends with a token that is learned, so answers would run on."
    return None
