"""What the page shows of messages: the parts that are read, cut to a size that can be kept."""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
_TEXT_CHARS = 8_000
_DIFF_CHARS = 16_000
_INPUT_CHARS = 2_000
_CONTEXT_CHARS = 400
_MOST_BLOCKS = 8
_MOST_OPTIONS = 10


def short(text: str, chars: int) -> str:
    """Return the text, cut at its end if it is longer."""
    return text if len(text) <= chars else f"{text[: chars - 1]}…"


def plain_text(blocks: Any) -> str:
    """Return the words of content blocks; what is attached has its name."""
    parts = []
    for block in blocks if isinstance(blocks, list) else []:
        if not isinstance(block, dict):
            continue
        if isinstance(block.get("text"), str):
            parts.append(block["text"])
        elif block.get("type") == "resource_link":
            parts.append(f"@{block.get('name')} ")
        elif isinstance(block.get("resource"), dict):
            parts.append(f"[{block['resource'].get('uri')}] ")
    return short("".join(parts), _TEXT_CHARS)


def call_view(before: Mapping[str, Any], update: Mapping[str, Any]) -> Json:
    """Return what is shown of a call, after an update of it."""
    view = {
        "title": "",
        "tool": "",
        "status": "",
        "content": [],
        "where": "",
        "input": "",
        **before,
    }
    for name in ("title", "kind", "status"):
        if isinstance(update.get(name), str):
            view["tool" if name == "kind" else name] = short(update[name], 500)
    if isinstance(update.get("content"), list):
        view["content"] = [_block(each) for each in update["content"][:_MOST_BLOCKS]]
    if isinstance(update.get("locations"), list):
        places = [each for each in update["locations"] if isinstance(each, dict)]
        view["where"] = ", ".join(short(str(each.get("path")), 300) for each in places[:3])
    if isinstance(update.get("rawInput"), dict):
        view["input"] = short(_arguments(update["rawInput"]), _INPUT_CHARS)
    return view


def question_view(params: Mapping[str, Any]) -> Json:
    """Return what is shown of a question that waits; `answer` is empty until it has one."""
    call = params.get("toolCall")
    view = call_view({}, call if isinstance(call, dict) else {})
    if isinstance(params.get("message"), str):
        view["title"] = short(params["message"], 2_000)
    given = params.get("options")
    options = [
        {"id": short(str(each.get("optionId")), 200), "name": short(str(each.get("name")), 200)}
        for each in (given if isinstance(given, list) else [])[:_MOST_OPTIONS]
        if isinstance(each, dict)
    ]
    return {**view, "options": options, "answer": ""}


def _block(block: Any) -> Json:
    if not isinstance(block, dict):
        return {"text": ""}
    if block.get("type") == "diff":
        old, new = block.get("oldText"), block.get("newText")
        return _diff(
            str(block.get("path")),
            old if isinstance(old, str) else "",
            new if isinstance(new, str) else "",
        )
    if block.get("type") == "terminal":
        return {"text": "(in the client's terminal)"}
    return {"text": plain_text([block.get("content")])}


def _diff(path: str, old: str, new: str) -> Json:
    """Return a change; of long texts the part that begins shortly before what is changed."""
    cut = len(old) > _DIFF_CHARS or len(new) > _DIFF_CHARS
    if cut:
        same = _same(old, new)
        begin = old.rfind("\n", 0, max(0, same - _CONTEXT_CHARS)) + 1
        old, new = old[begin : begin + _DIFF_CHARS], new[begin : begin + _DIFF_CHARS]
    return {"path": short(path, 300), "old": old, "new": new, "cut": cut}


def _same(one: str, other: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _arguments(values: Mapping[str, Any]) -> str:
    return "\n".join(
        f"{name}: {'…' if isinstance(value, list | dict) else short(str(value), _INPUT_CHARS)}"
        for name, value in list(values.items())[:20]
    )


def size_of(value: Any) -> int:
    """Return about how many characters a value of JSON takes."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return 20 + sum(size_of(each) for each in value.values())
    return 20 + sum(size_of(each) for each in value) if isinstance(value, list) else 8
