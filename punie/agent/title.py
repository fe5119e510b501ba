"""A short title for a session, made from what the user wrote and from nothing else."""

import re
from collections.abc import Iterable

from punie.agent.events import PromptLink, PromptText, TurnEvent, UserMessage

LONGEST_TITLE = 60
"""Characters of a title at most."""

# What was pasted may be huge: a title is in the first words, or there is none.
_MOST_READ = 10_000
_MOST_OF_A_LINE = 300

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,}).*?(^[ \t]*\1`*~*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[([^\]\n]+)\]\([^)\s]*\)")
_STRONG = re.compile(r"(\*\*|\*|~~)(?=\S)(.+?)(?<=\S)\1(?!\w)")
_LINE_MARK = re.compile(r"^\s*(?:#{1,6}\s+|>\s?|[-*+]\s+(?:\[[ xX]\]\s+)?|\d{1,3}[.)]\s+)")
_RULE = re.compile(r"^\s*(?:[-=*_]\s*){3,}$")
_SENTENCE_END = re.compile(r"[.!?…]+(?=[\"')\]]*(?:\s|$))")
_ABBREVIATION = re.compile(r"(?:^|[\s(])(?:e\.g|i\.e|etc|vs|cf|resp|approx|no|z\.B|d\.h)$", re.I)
_GREETING = re.compile(
    r"(?:(?:hi|hello|hey|hallo|moin|servus|hola|greetings|good (?:morning|afternoon|evening|day)|"
    r"thanks?|thank you|thx|ok|okay|yes|no|yep|nope|cool|great|nice|test|testing|ping)"
    r"(?: (?:there|punie|all|everyone|again|so much|a lot|very much))*[\s,.!:;-]*)+",
    re.IGNORECASE,
)
_OPENING = re.compile(
    r"(?:hi|hello|hey|hallo|ok|okay|so|now|well|thanks|thank you)"
    r"(?:\s+(?:there|punie))?\s*[,.!:;–-]+\s*",
    re.IGNORECASE,
)
_FILLER = re.compile(
    r"(?:please|kindly|pls|(?:can|could|would|will) you|would you mind|"
    r"i (?:want|need|would like|'?d like) you to|i'd like you to|your task is to|"
    r"i (?:want|need|would like) to|i'd like to|let'?s|help me(?: to)?|just)\b[\s,:]*",
    re.IGNORECASE,
)
_COMMAND = re.compile(r"/[a-z][a-z0-9_-]*(?:\s|$)")
_PLAIN_WORD = re.compile(r"[a-zà-öø-ÿ]+(?=[\s,;:!?'’-]|$)")


def title_from_events(events: Iterable[TurnEvent]) -> str | None:
    """Return a title from the first prompt to the model that says something; None if none does."""
    for event in events:
        if isinstance(event, UserMessage) and event.command is None:
            title = title_of(prompt_words(event))
            if title is not None:
                return title
    return None


def title_of(prompt: str) -> str | None:
    """Return a title of at most `LONGEST_TITLE` characters from a prompt.

    None if the prompt holds no more than a greeting, a command or code.
    """
    if _COMMAND.match(prompt[:_MOST_READ].lstrip()):
        return None
    for sentence in _sentences(_without_markdown(prompt)):
        if _GREETING.fullmatch(sentence):
            continue
        title = _shortened(_capitalised(_without_filler(sentence)))
        if any(character.isalnum() for character in title):
            return title
    return None


def prompt_words(message: UserMessage) -> str:
    """Return what the user typed, with the names of the files pointed at in between."""
    pieces: list[str] = []
    for block in message.blocks:
        if isinstance(block, PromptText):
            pieces.append(block.text)
        elif isinstance(block, PromptLink) and pieces and not pieces[-1].isspace():
            gap = "" if pieces[-1][-1:].isspace() else " "
            pieces.append(f"{gap}{block.name} ")
    return "".join(pieces)


def _without_markdown(text: str) -> list[str]:
    """Return the lines of a text without code blocks and marks; inline code keeps its words."""
    lines: list[str] = []
    for line in _FENCE.sub("\n", text[:_MOST_READ].replace("\r", "\n")).split("\n"):
        line = line[:_MOST_OF_A_LINE]
        if _RULE.match(line):
            continue
        line = _LINE_MARK.sub("", line)
        line = _LINK.sub(r"\1", line)
        line = _STRONG.sub(r"\2", line).replace("`", "")
        line = "".join(c if c.isprintable() else " " for c in line)
        if line.strip():
            lines.append(" ".join(line.split()))
    return lines


def _sentences(lines: Iterable[str]) -> Iterable[str]:
    for line in lines:
        start = 0
        for end in _SENTENCE_END.finditer(line):
            if _ABBREVIATION.search(line[start : end.start()]):
                continue
            yield line[start : end.end()].strip()
            start = end.end()
        if line[start:].strip():
            yield line[start:].strip()


def _without_filler(sentence: str) -> str:
    """Take away greetings and pleas from the front, and full stops from the end."""
    before = ""
    while sentence != before:
        before = sentence
        for filler in (_OPENING, _FILLER):
            rest = filler.sub("", sentence, count=1) if filler.match(sentence) else sentence
            sentence = rest if any(map(str.isalnum, rest)) else sentence
    sentence = re.sub(r"[\s,]+(?:please|pls)(?=[.!?]*$)", "", sentence, flags=re.IGNORECASE)
    return sentence.rstrip(".!…:;, ")


def _capitalised(text: str) -> str:
    """Begin with a capital letter, but leave names of files and identifiers as they are."""
    return text[:1].upper() + text[1:] if _PLAIN_WORD.match(text) else text


def _shortened(text: str) -> str:
    """Cut between words; a path that is too long alone is shown by its name."""
    if len(text) <= LONGEST_TITLE:
        return text
    kept = text[: LONGEST_TITLE - 1]
    if not text[LONGEST_TITLE - 1].isspace():
        kept = kept.rpartition(" ")[0]
    if kept.strip():
        return kept.rstrip(" ,;:–-") + "…"
    first = text.split(" ", 1)[0]
    name = first.rstrip("/").rpartition("/")[2]
    if name != first and 0 < len(name) < LONGEST_TITLE:
        return name
    return first[: LONGEST_TITLE - 1] + "…"
