"""Places in an encoded prompt where later prompts of the session are known to go on.

A cache with a running state is usable only at the places where it was kept, so it has to be kept
at these. Found in the rendered tokens, by the marks that begin a message in templates of the
ChatML kind; content cannot contain them (see `renderer`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from punie.models.mlx.chat.vocabulary import Vocabulary

_BEGIN = "<|im_start|>"
_LONGEST_ROLE = len(b"assistant")


@dataclass(frozen=True)
class Checkpoints:
    """Lengths in tokens of beginnings of a prompt; 0 where the template has no such mark.

    `system` is the system prompt with the tools, where the first other message starts: every
    session with the same instructions and tools begins with it. `turn` goes to where the
    assistant's turn starts, after the last message of the user: all prompts of the session go
    on from there, also when the template strips this turn's thoughts later. `message` goes to
    where the next answer starts: prompts with further tool results go on from there. `question`
    goes to where the last message of the user starts.
    """

    system: int = 0
    question: int = 0
    turn: int = 0
    message: int = 0


def find_checkpoints(
    tokens: Sequence[int],
    vocabulary: Vocabulary,
    roles: Sequence[str],
    *,
    generation_prompt: bool,
) -> Checkpoints:
    """Return the checkpoints of `tokens`, the rendering of messages with these roles."""
    begin = vocabulary.control.get(_BEGIN)
    starts = [] if begin is None else [i for i, token in enumerate(tokens) if token == begin]
    if not starts:
        return Checkpoints()
    system = next((at for at in starts if _role(tokens, at, vocabulary) != b"system"), starts[-1])
    # Tool results look like messages of the user in many templates. The assistant's messages can
    # be told from the others, so the turn is found by counting them from the end.
    answers = int(generation_prompt)
    for role in reversed(roles):
        if role == "user":
            break
        answers += role == "assistant"
    turn = len(tokens)
    for at in reversed(starts):
        if not answers:
            break
        if _role(tokens, at, vocabulary) == b"assistant":
            turn = at
            answers -= 1
    if answers:
        return Checkpoints(system, message=starts[-1])
    question = max((at for at in starts if at < turn), default=0)
    return Checkpoints(system, question, turn, starts[-1])


def _role(tokens: Sequence[int], at: int, vocabulary: Vocabulary) -> bytes:
    """Return the letters that follow the mark at `at`, up to the length of the longest role."""
    text = b""
    for token in tokens[at + 1 : at + 1 + _LONGEST_ROLE]:
        text += vocabulary.token_bytes(token)
        if len(text) >= _LONGEST_ROLE:
            break
    return text[:_LONGEST_ROLE].partition(b"\n")[0]
