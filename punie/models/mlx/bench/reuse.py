"""What a conversation reads again, alone and against `mlx_lm.server` with the same model.

The first figure comes from a dictated conversation. Against the server the model speaks for
itself, so that each side finds in its cache what it wrote; both get every request, one after the
other, with the same messages.
"""

from collections.abc import Sequence

from punie.models.mlx.bench.against.own_words import own_words
from punie.models.mlx.bench.against.target import MlxLm, pair_with
from punie.models.mlx.bench.conversation import Call, converse, converse_after_restart
from punie.models.mlx.bench.rows import BenchError, Finding, Limit, Row, Skipped
from punie.models.mlx.bench.suite import Subject
from punie.models.mlx.chat_format import ChatFormat

_AGAINST = "against mlx_lm.server"
_RESTART = "read again after a restart"


async def measure(subject: Subject) -> list[Finding]:
    """Hold the dictated conversation, then the model's own beside the server."""
    findings: list[Finding] = [await _surplus(subject)]
    if not subject.fits_twice:
        reason = "there is no memory for the model's weights twice"
        return [*findings, Skipped(_RESTART, reason), Skipped(_AGAINST, reason)]
    chat = subject.model.chat_format
    after = await converse_after_restart(
        subject.path, chat, thinks=not chat.keeps_thoughts, say=subject.say
    )
    findings.append(surplus_row(_RESTART, after, _most_again(chat)))
    try:
        async with pair_with(MlxLm(), subject) as pair:
            return [*findings, *await own_words(pair, Limit("at most", 1.0))]
    except BenchError as error:
        return [*findings, Skipped(_AGAINST, str(error))]


async def _surplus(subject: Subject) -> Row:
    chat = subject.model.chat_format
    thinks = not chat.keeps_thoughts
    calls = await converse(subject.model.engine, chat, thinks=thinks, say=subject.say)
    return surplus_row("read again in a conversation", calls, _most_again(chat))


def _most_again(chat: ChatFormat) -> int:
    """Return the tokens that a request may read again.

    Where thoughts are dropped the texts part shortly behind the place at which a running state is
    kept.
    """
    return 0 if chat.keeps_thoughts else 4


def surplus_row(name: str, calls: Sequence[Call], most: int) -> Row:
    """Say how much of a conversation was read again; `most` tokens are right for one request."""
    prefilled, new = sum(call.prefilled for call in calls), sum(call.new for call in calls)
    whole = sum(len(call.prompt) for call in calls)
    return Row(
        name,
        max(call.surplus for call in calls),
        "tokens",
        f"at most in one of {len(calls)} requests with tools ({prefilled:,} "
        f"read, {new:,} were new, {whole:,} without reuse)",
        Limit("at most", most),
    )
