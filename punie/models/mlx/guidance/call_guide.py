"""Tool calls that cannot be malformed: the guide that holds a model to the grammar of its tools.

Prose and thoughts are free and cost a look at each token's id. The grammar begins to hold after
the control token that opens a call, or where the bare text `<function=` starts a line of the
answer, since models leave the marker out; it ends with the control token that closes the call.
"""

import codecs
import json
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import llguidance
import numpy as np

from punie.logs.setup import get_logger
from punie.models.mlx.chat.calls import ToolSchemas
from punie.models.mlx.chat.markup import CLOSE_CALL, CLOSE_THOUGHT, OPEN_CALL, OPEN_THOUGHT
from punie.models.mlx.chat.parser import CallSyntax
from punie.models.mlx.chat.vocabulary import Vocabulary
from punie.models.mlx.guidance.bare_call import find_start
from punie.models.mlx.guidance.grammar import GrammarError, Markers, call_grammar
from punie.models.mlx.guidance.guide import TokenMask

_KEPT_GRAMMARS = 8
"""Tool sets whose grammars stay compiled; a session has one, a sub-agent may have another."""

_NEVER = sys.maxsize

_log = get_logger(__name__)


class CallGrammar:
    """The grammars of one model's tool calls; shared by its sessions, safe in any thread.

    `width` is the number of the model's logits, which may be more than there are tokens. `end_ids`
    end a turn. `unavailable` tells, for the log, why the model's calls cannot be guided, if so.
    """

    def __init__(self, vocabulary: Vocabulary, width: int, end_ids: Iterable[int] = ()) -> None:
        self.vocabulary = vocabulary
        self.width = width
        self.size = max([width, *(number + 1 for number in vocabulary.control.values())])
        self.unavailable: str | None = None
        self.markers: Markers | None = None
        missing = [name for name in (OPEN_CALL, CLOSE_CALL) if name not in vocabulary.control]
        if missing:
            self.unavailable = f"The tokenizer has no token {' and no '.join(missing)}."
        else:
            opening, closing = vocabulary.control[OPEN_CALL], vocabulary.control[CLOSE_CALL]
            ends = tuple(sorted({*end_ids} - {opening, closing}))
            self.markers = Markers(opening, closing, ends)
        self._lock = threading.Lock()
        self._tokenizer: llguidance.LLTokenizer | None = None
        self._compiled: OrderedDict[str, llguidance.LLMatcher | None] = OrderedDict()
        self._said: set[str] = set()

    def guide(
        self,
        tools: ToolSchemas,
        syntax: CallSyntax,
        *,
        in_thought: bool = False,
        thinking_budget: int | None = None,
    ) -> "CallGuide | None":
        """Return a guide for one response, or None when there is nothing to guide.

        `in_thought` tells that the prompt ends inside a thought, `thinking_budget` is the number
        of tokens that the thoughts of the response may have; None means any. Costs nothing: what
        is heavy waits for the first call, or for `prepare`.
        """
        if tools and self.unavailable:
            self._say(self.unavailable)
        callable_tools = {} if self.unavailable else tools
        if CLOSE_THOUGHT not in self.vocabulary.control:
            thinking_budget = None
        if not callable_tools and thinking_budget is None:
            return None
        return CallGuide(self, callable_tools, syntax, in_thought, thinking_budget)

    def prepare(self, tools: ToolSchemas, syntax: CallSyntax) -> None:
        """Do now, in the calling thread, what the first call of a response would wait for.

        Takes a fraction of a second once for each model and milliseconds for each set of tools.
        """
        if tools and not self.unavailable:
            self.matcher(tools, syntax, bare=False)
            if syntax == "xml":
                self.matcher(tools, syntax, bare=True)

    def prepare_aside(self, tools: ToolSchemas, syntax: CallSyntax) -> None:
        """Do what `prepare` does in a thread of its own, unless it is done already."""
        if tools and not self.unavailable and self._key(tools, syntax, False) not in self._compiled:
            thread = threading.Thread(
                target=self.prepare, args=(tools, syntax), name="punie-grammar", daemon=True
            )
            thread.start()

    def matcher(
        self, tools: ToolSchemas, syntax: CallSyntax, *, bare: bool
    ) -> llguidance.LLMatcher | None:
        """Return a new matcher for one call; None when the tools have no grammar."""
        key = self._key(tools, syntax, bare)
        with self._lock:
            if key in self._compiled:
                self._compiled.move_to_end(key)
            else:
                self._compiled[key] = self._compile(tools, syntax, bare)
                if len(self._compiled) > 2 * _KEPT_GRAMMARS:
                    self._compiled.popitem(last=False)
            compiled = self._compiled[key]
            return None if compiled is None else compiled.deep_copy()

    @staticmethod
    def _key(tools: ToolSchemas, syntax: CallSyntax, bare: bool) -> str:
        return json.dumps([syntax, bare, tools])

    def forget(self) -> None:
        """Drop what is compiled, after a matcher failed: copies share their lexer."""
        with self._lock:
            self._compiled.clear()

    def _compile(
        self, tools: ToolSchemas, syntax: CallSyntax, bare: bool
    ) -> llguidance.LLMatcher | None:
        assert self.markers is not None
        tokenizer = self._prepare_tokenizer()

        def check(lark: str) -> str:
            return llguidance.LLMatcher.validate_grammar(lark, tokenizer)

        try:
            grammar = call_grammar(tools, syntax, self.markers, check, bare=bare)
        except GrammarError as error:
            self._say(f"Tool calls are not guided: {error}.")
            return None
        for problem in grammar.problems:
            self._say(problem)
        matcher = llguidance.LLMatcher(tokenizer, grammar.lark, log_level=0)
        if matcher.is_error():
            self._say(f"Tool calls are not guided: {matcher.get_error().splitlines()[0]}")
            return None
        return matcher

    def _prepare_tokenizer(self) -> llguidance.LLTokenizer:
        if self._tokenizer is None:
            adapter = _Tokenizer(self.vocabulary, self.size)
            self._tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(adapter))
        return self._tokenizer

    def _say(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            _log.warning("call_grammar", reason=message)


class _Tokenizer:
    """A vocabulary as llguidance's `TokenizerWrapper` takes it, with one more token at the end.

    llguidance treats the token that ends its grammar in a way of its own. Ours ends nothing, so
    that the tokens that end a turn are ordinary parts of a grammar.
    """

    bos_token_id = None

    def __init__(self, vocabulary: Vocabulary, size: int) -> None:
        self._vocabulary = vocabulary
        self.tokens = [*map(vocabulary.token_bytes, range(size)), b"<end of grammar>"]
        self.eos_token_id = size
        self.special_token_ids = [*sorted(vocabulary.control.values()), size]

    def __call__(self, text: bytes) -> list[int]:
        return self._vocabulary.encode_text(text.decode())


class _State(NamedTuple):
    """Where the response is; positions count its tokens.

    `watched` is the position of a token in which `<function=` may begin, `due` are tokens that
    must follow, `left` is what thoughts to come may take, `limit` is where this thought must end.
    """

    mode: Literal["answer", "thought", "call"]
    left: int
    limit: int = _NEVER
    watched: int | None = None
    due: tuple[int, ...] = ()


@dataclass
class _Call:
    """A call under way or over: its tokens from `first` on went through the matcher.

    `armed` is the number of tokens after which the grammar began to hold.
    """

    matcher: llguidance.LLMatcher
    first: int
    armed: int
    length: int = 0
    failed: bool = False


class CallGuide:
    """The `Guide` of one response: free outside calls, held to the grammar inside.

    Made by `CallGrammar.guide`; belongs to the engine's thread.
    """

    def __init__(
        self,
        grammar: CallGrammar,
        tools: ToolSchemas,
        syntax: CallSyntax,
        in_thought: bool,
        thinking_budget: int | None,
    ) -> None:
        self._grammar = grammar
        self._tools = tools
        self._syntax: CallSyntax = syntax
        self._vocabulary = grammar.vocabulary
        control = self._vocabulary.control
        self._open_thought = control.get(OPEN_THOUGHT, -1)
        self._close_thought = control.get(CLOSE_THOUGHT, -1)
        markers = grammar.markers if tools else None
        self._opening, self._closing = (markers.opening, markers.closing) if markers else (-1, -1)
        self._borders = frozenset(
            (self._opening, self._closing, *(markers.ends if markers else ()))
        )
        self._noticed = frozenset((self._opening, self._open_thought, self._close_thought))
        self._sees_bare = markers is not None and syntax == "xml"
        self._tokens: list[int] = []
        self._calls: list[_Call] = []
        self._words = np.zeros(grammar.size // 32 + 1, np.uint32)
        self._shown = self._words[: (grammar.width + 31) // 32]
        self._state = _State("answer", _NEVER if thinking_budget is None else thinking_budget)
        if in_thought:
            self._state = self._in_thought(self._state)
        self._changes = [(0, self._state)]

    def accept(self, tokens: Sequence[int]) -> int:
        """Take the next tokens and return how many of them may stand there."""
        taken = 0
        while taken < len(tokens):
            token = tokens[taken]
            if self._state.due:
                if token != self._state.due[0]:
                    break
                self._tokens.append(token)
                self._pass_due(token)
            elif self._state.mode == "call":
                count, is_all = self._accept_in_call(tokens[taken:])
                taken += count
                if not is_all:
                    break
                continue
            else:
                self._accept_free(token)
            taken += 1
        return taken

    def forced(self) -> tuple[int, ...]:
        """Return the tokens that must follow now: what the grammar or a spent budget leaves."""
        if self._state.due:
            return self._state.due
        if self._state.mode != "call" or self._calls[-1].failed:
            return ()
        return tuple(self._calls[-1].matcher.compute_ff_tokens())

    def mask(self) -> TokenMask | None:
        """Return which tokens may follow now, in words that the next call of `mask` overwrites."""
        if self._state.due:
            self._words[:] = 0
            self._words[self._state.due[0] // 32] = 1 << self._state.due[0] % 32
            return self._shown
        if self._state.mode != "call" or self._calls[-1].failed:
            return None
        matcher = self._calls[-1].matcher
        matcher.unsafe_compute_mask_ptr(self._words.ctypes.data, self._words.nbytes)
        if matcher.is_error():
            self._fail(self._calls[-1])
            return None
        return self._shown

    def rollback(self, count: int) -> None:
        """Take back the last `count` accepted tokens; raise ValueError if there are fewer."""
        length = len(self._tokens) - count
        if length < 0:
            raise ValueError(f"{count} tokens cannot be taken back of {len(self._tokens)}.")
        del self._tokens[length:]
        while self._changes[-1][0] > length:
            self._changes.pop()
        self._state = self._changes[-1][1]
        while self._calls and self._calls[-1].armed > length:
            self._calls.pop()
        if self._calls:
            call = self._calls[-1]
            surplus = call.first + call.length - length
            if surplus > 0:
                call.length -= surplus
                if not call.failed and not call.matcher.rollback(surplus):
                    self._fail(call)

    def _set(self, state: _State) -> None:
        self._state = state
        self._changes.append((len(self._tokens), state))

    def _accept_free(self, token: int) -> None:
        self._tokens.append(token)
        state = self._state
        if token in self._noticed:
            if token == self._open_thought:
                if state.mode == "answer":
                    self._set(self._in_thought(state))
            elif token == self._close_thought:
                self._set(self._in_answer(state))
            else:
                self._arm(bare=False)
        elif state.mode == "thought":
            if len(self._tokens) >= state.limit and not self._is_inside_character():
                self._set(state._replace(due=self._end_of_thought()))
        elif self._sees_bare and (
            state.watched is not None or b"<" in self._vocabulary.token_bytes(token)
        ):
            self._watch()

    def _in_thought(self, state: _State) -> _State:
        limit = _NEVER if state.left == _NEVER else len(self._tokens) + state.left
        due = self._end_of_thought() if state.left <= 0 else ()
        return _State("thought", state.left, limit, due=due)

    def _in_answer(self, state: _State) -> _State:
        left = state.left
        if state.mode == "thought" and left != _NEVER:
            left = max(0, state.limit - len(self._tokens))
        return _State("answer", left)

    def _end_of_thought(self) -> tuple[int, ...]:
        """Return the tokens that close a thought, as the templates of the Qwen family write it."""
        before = self._tokens and not self._bytes(self._tokens[-1:]).endswith(b"\n")
        encode = self._vocabulary.encode_text
        return (*encode("\n" if before else ""), self._close_thought, *encode("\n\n"))

    def _is_inside_character(self) -> bool:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        decoder.decode(self._bytes(self._tokens[-4:]))
        return bool(decoder.getstate()[0])

    def _pass_due(self, token: int) -> None:
        state = self._state._replace(due=self._state.due[1:])
        if token == self._close_thought:
            state = _State("answer", 0, due=state.due)
        self._set(state)

    def _watch(self) -> None:
        watched = self._state.watched
        start = find_start(self._tokens, watched, self._vocabulary)
        if start is not None and start.whole:
            if self._arm(bare=True, first=start.position):
                return
            start = None  # no tool of the session has such a name
        position = None if start is None else start.position
        if position != watched:
            self._set(self._state._replace(watched=position))

    def _arm(self, *, bare: bool, first: int | None = None) -> bool:
        """Let the grammar hold from here on; tell whether it does."""
        matcher = self._grammar.matcher(self._tools, self._syntax, bare=bare)
        if matcher is None:
            return False
        armed = len(self._tokens)
        call = _Call(matcher, armed if first is None else first, armed)
        seen = self._tokens[call.first :]
        if matcher.try_consume_tokens(seen) < len(seen):
            return False
        call.length = len(seen)
        self._calls.append(call)
        self._set(_State("call", self._in_answer(self._state).left))
        return True

    def _accept_in_call(self, tokens: Sequence[int]) -> tuple[int, bool]:
        """Take tokens up to the end of the call; return how many, and whether none was refused."""
        call = self._calls[-1]
        end = next((i + 1 for i, token in enumerate(tokens) if token in self._borders), len(tokens))
        wanted = list(tokens[:end])
        count = len(wanted) if call.failed else call.matcher.try_consume_tokens(wanted)
        if not call.failed and call.matcher.is_error():
            self._fail(call)
            count = len(wanted)
        self._tokens += wanted[:count]
        call.length += count
        if count < len(wanted):
            return count, False
        if wanted[-1] in self._borders:
            self._set(_State("answer", self._state.left))
            if wanted[-1] == self._opening:
                self._arm(bare=False)
        return count, True

    def _fail(self, call: _Call) -> None:
        """Let the rest of a call go unguided: the parser judges it."""
        call.failed = True
        self._grammar.forget()
        _log.warning("call_guide", error=call.matcher.get_error())

    def _bytes(self, tokens: Sequence[int]) -> bytes:
        return b"".join(map(self._vocabulary.token_bytes, tokens))
