"""Walks bash's syntax tree and collects the commands in it.

Only a well understood part of the language passes. The grammar used here and the shell do not
agree about everything, so wherever they might differ the code is opaque.
"""

import re
import unicodedata
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from punie.agent.permissions.shell import SimpleCommand, Word
from punie.agent.permissions.syntax_tree import parse
from punie.agent.permissions.words import (
    PLAIN_ARITHMETIC,
    PLAIN_EXPANSION,
    names,
    unknown,
    word_of,
)
from punie.agent.permissions.wrappers import (
    CodeWord,
    InnerWords,
    Opaque,
    may_evaluate,
    unwrap,
)

if TYPE_CHECKING:
    from tree_sitter import Node

LONGEST_LINE = 8_000
"""Characters; a longer command line is not read at all, and so is opaque."""

_DEEPEST = 40
_HARMLESS_TARGETS = frozenset({"/dev/null", "/dev/stdout", "/dev/stderr"})
_RESERVED = names(
    "! { } [[ ]] case coproc do done elif else esac fi for function if in select then until while"
)
# Builtins that change what later commands mean, or that run code which they keep as text.
_CHANGE_THE_SHELL = names(
    ". alias bind compgen complete declare enable export fc getopts hash let local mapfile read "
    "readarray readonly set shopt source trap typeset unalias unset"
)
_BLOCKS = names(
    "program list pipeline negated_command subshell compound_statement do_group if_statement "
    "elif_clause else_clause while_statement for_statement redirected_statement"
)
_WORDS = names(
    "word number raw_string string concatenation simple_expansion expansion ansi_c_string "
    "translated_string arithmetic_expansion brace_expression command_substitution "
    "process_substitution"
)
_TOKENS = names(
    "; & && || | |& ( ) { } ! if then elif else fi while until do done for in $( <( >("
) | {"\n"}
# The shell joins such lines before it looks for words, strings and substitutions.
_JOINED_LINES = re.compile(r"(?<![ \t\n])\\\n")
_BETWEEN_STATEMENTS = re.compile(rb"(?:[ \t\n]|(?<=[ \t\n])\\\n)*")
_BETWEEN_WORDS = re.compile(rb"[ \t](?:[ \t]|\\\n)*")
_WORD = re.compile(r"(?:\\[^\n]|[^\\\s;&|()<>'\"`$])+")
_ASSIGNMENT = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*\+?=")
_REDIRECTION = re.compile(rb"[0-9]*[<>]|&>")
_HEREDOC = re.compile(rb"[0-9]*<<(-?)")
_HEREDOC_MARK = re.compile(r"(['\"]?)([A-Za-z_][A-Za-z0-9_]*)\1", re.ASCII)
# Bytes that the shell or its reader treats in ways of its own, and characters nobody can see.
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cn", "Cs", "Zs", "Zl", "Zp"})


class Reader:
    """Reads shell code; `writes` and `opaque` gather what is found besides the commands."""

    def __init__(self, depth: int = 0) -> None:
        self._depth = depth
        self._source = b""
        self.writes: list[Word] = []
        self.opaque: list[str] = []

    def code(self, text: str) -> list[SimpleCommand]:
        """Return the commands of a whole piece of code."""
        if len(text) > LONGEST_LINE:
            self.opaque.append("too long")
            return []
        if any(
            character not in " \t\n" and unicodedata.category(character) in _UNSEEN
            for character in text
        ):
            self.opaque.append("characters that cannot be seen")
        if _JOINED_LINES.search(text):
            self.opaque.append("a line that goes on in the middle of something")
        self._source = text.encode("utf-8", "replace")
        tree = parse(self._source)
        root = tree.root_node
        children = root.children
        edges = (
            [self._source[: children[0].start_byte], self._source[children[-1].end_byte :]]
            if (children)
            else [self._source]
        )
        if root.has_error or not all(_BETWEEN_STATEMENTS.fullmatch(edge) for edge in edges):
            self.opaque.append("not understood")
        return self._visit(root, self._depth)

    def _visit(self, node: "Node", depth: int) -> list[SimpleCommand]:
        if depth > _DEEPEST:
            self.opaque.append("nested too deeply")
            return []
        if node.type == "command":
            return self._command(node, depth)
        if node.type in _BLOCKS:
            return self._block(node, depth)
        if node.type in _WORDS:
            return self._word(node, depth)[1]
        if node.type == "file_redirect":
            return self._redirect(node, depth)
        if node.type == "herestring_redirect" and self._is_tight(node):
            return self._inside(node, depth)
        if node.type == "heredoc_redirect":
            return self._heredoc(node, depth)
        if node.type == "comment":
            before = self._source[node.start_byte - 1 : node.start_byte] if node.start_byte else b""
            if (before and before not in b" \t\n;&|()") or b"\n" in self._bytes(node):
                self.opaque.append("a comment in an unusual place")
            return []
        return self._opaque(node.type.replace("_", " "), node, depth)

    def _opaque(self, reason: str, node: "Node", depth: int) -> list[SimpleCommand]:
        """Give up on the node; the commands in it are still found, for rules that deny."""
        self.opaque.append(reason)
        return self._inside(node, depth)

    def _inside(self, node: "Node", depth: int) -> list[SimpleCommand]:
        return [each for child in node.named_children for each in self._visit(child, depth + 1)]

    def _block(self, node: "Node", depth: int) -> list[SimpleCommand]:
        if not self._is_plain(node):
            return self._opaque(f"an unusual {node.type.replace('_', ' ')}", node, depth)
        children = node.named_children
        if node.type == "for_statement":
            children = children[1:]
        return [each for child in children for each in self._visit(child, depth + 1)]

    def _is_plain(self, node: "Node") -> bool:
        """Tell whether a block consists of what it should, with nothing skipped in between."""
        plain = [child for child in node.children if not child.is_named]
        tokens = [child.type.lstrip() or "\n" for child in plain]
        if not _TOKENS.issuperset(tokens) or not all(map(self._stands_alone, plain)):
            return False
        if not all(_BETWEEN_STATEMENTS.fullmatch(gap) for gap in self._gaps(node)):
            return False
        if node.type == "compound_statement":
            return tokens[:1] == ["{"]
        if node.type == "for_statement":
            # A loop may set any variable, PATH too; such names mean nothing to any program.
            name = self._text(node.named_children[0]) if node.named_children else ""
            return tokens[:1] == ["for"] and name.isascii() and name.isalnum() and name.islower()
        return True

    def _is_tight(self, node: "Node") -> bool:
        """Tell whether a redirection begins as one and has only blanks between its parts."""
        begins = _REDIRECTION.match(self._bytes(node))
        return bool(begins) and not any(gap.strip(b" \t") for gap in self._gaps(node))

    def _stands_alone(self, token: "Node") -> bool:
        """Tell whether a reserved word is one for the shell too, which wants it by itself."""
        if not re.fullmatch(rb"[a-z]+|[!{}]", self._bytes(token)):
            return True
        before = self._source[: token.start_byte][-1:]
        after = self._source[token.end_byte : token.end_byte + 1]
        return (not before or before in b" \t\n;&|()") and (not after or after in b" \t\n;&|()<>")

    def _bytes(self, node: "Node") -> bytes:
        return self._source[node.start_byte : node.end_byte]

    def _text(self, node: "Node") -> str:
        return self._bytes(node).decode("utf-8", "replace")

    def _gaps(self, node: "Node") -> list[bytes]:
        return [
            self._source[before.end_byte : after.start_byte]
            for before, after in pairwise(node.children)
        ]

    def _word(self, node: "Node", depth: int) -> tuple[Word, list[SimpleCommand]]:
        """Return the word and the commands that are run to make it."""
        source = self._text(node)
        if node.type not in ("word", "number", "raw_string", "string", "concatenation"):
            # Within a string the grammar puts the blanks in front into the first token.
            source = source.strip()
        match node.type:
            case "word" if _WORD.fullmatch(source):
                return word_of(node, self._source), []
            case "raw_string":
                return word_of(node, self._source), []
            case "number" if not node.named_child_count:
                return word_of(node, self._source), []
            case "string" if not source.startswith("$"):
                return word_of(node, self._source), self._pieces(node, depth)
            case "concatenation":
                if any(self._gaps(node)):
                    self.opaque.append("a word in pieces")
                return word_of(node, self._source), self._pieces(node, depth)
            case "simple_expansion" | "expansion" if PLAIN_EXPANSION.fullmatch(source):
                return unknown(source), []
            case "arithmetic_expansion" if PLAIN_ARITHMETIC.fullmatch(source):
                return unknown(source), []
            case "brace_expression":
                return unknown(source), []
            case "command_substitution" | "process_substitution":
                return unknown(source), self._substitution(node, depth)
            case _:
                reason = f"an unusual {node.type.replace('_', ' ')}"
                return unknown(source), self._opaque(reason, node, depth)

    def _pieces(self, node: "Node", depth: int) -> list[SimpleCommand]:
        return [
            each
            for child in node.named_children
            if child.type != "string_content"
            for each in self._visit(child, depth + 1)
        ]

    def _substitution(self, node: "Node", depth: int) -> list[SimpleCommand]:
        source = self._bytes(node).lstrip()
        if source[:2] not in (b"$(", b"<(", b">(") or not self._is_plain(node):
            return self._opaque("an unusual substitution", node, depth)
        # Older shells look for the closing bracket without understanding what is in between.
        if any(child.type == "comment" for child in node.named_children) or b"<<" in source:
            self.opaque.append("a comment or here document in a substitution")
        return self._inside(node, depth)

    def _redirect(self, node: "Node", depth: int) -> list[SimpleCommand]:
        targets = [child for child in node.named_children if child.type != "file_descriptor"]
        operator = next((child.type for child in node.children if not child.is_named), "")
        # {name}> sets a variable.
        named = self._source[: node.start_byte][-1:] == b"}" and node.prev_sibling is not None
        if named or not self._is_tight(node):
            return self._opaque("an unusual redirection", node, depth)
        if operator in ("<&-", ">&-") and not targets:
            return []
        if len(targets) != 1:
            return self._opaque("words behind a redirection", node, depth)
        word, found = self._word(targets[0], depth + 1)
        if targets[0].type == "process_substitution":
            return found
        if word.text.startswith(("/dev/tcp", "/dev/udp")):
            self.opaque.append("a network connection")
        elif operator in ("<&", ">&"):
            if not word.known or not word.text.isdigit():
                self.opaque.append("an unusual redirection")
        elif operator == "<":
            if not word.known:
                self.opaque.append("input from a place that is not written out")
        elif operator in (">", ">>", ">|", "&>", "&>>"):
            if not (word.known and word.text in _HARMLESS_TARGETS):
                self.writes.append(word)
        else:
            self.opaque.append("an unusual redirection")
        return found

    def _heredoc(self, node: "Node", depth: int) -> list[SimpleCommand]:
        if not self._heredoc_is_plain(node):
            return self._opaque("an unusual here document", node, depth)
        return [
            each
            for child in node.named_children
            if child.type == "file_redirect"
            for each in self._redirect(child, depth + 1)
        ]

    def _heredoc_is_plain(self, node: "Node") -> bool:
        """Tell whether it ends where the shell ends it, and nothing in it is run."""
        parts = {child.type: child for child in node.named_children}
        if not parts.keys() <= {
            "heredoc_start",
            "heredoc_body",
            "heredoc_end",
            "file_redirect",
            "file_descriptor",
        }:
            return False
        start, body, end = (parts.get(f"heredoc_{name}") for name in ("start", "body", "end"))
        if start is None or end is None or self._source.count(b"<<") != 1:
            return False
        mark = _HEREDOC_MARK.fullmatch(self._text(start))
        if mark is None:
            return False
        if not mark[1] and body is not None and re.search(r"[$`\\]", self._text(body)):
            return False
        begins = _HEREDOC.match(self._bytes(node))
        if begins is None:
            return False
        at = self._source.find(b"\n", start.end_byte) + 1
        if at == 0:
            return False
        for line in self._source[at:].split(b"\n"):
            bare = line.lstrip(b"\t") if begins[1] else line
            if bare == mark[2].encode():
                return end.start_byte == at + len(line) - len(bare)
            at += len(line) + 1
        return False

    def _command(self, node: "Node", depth: int) -> list[SimpleCommand]:
        words: list[Word] = []
        found: list[SimpleCommand] = []
        altered = False
        for child in node.children:
            if child.type == "variable_assignment":
                altered = True
                if not _ASSIGNMENT.match(self._bytes(child)):
                    self.opaque.append("an unusual assignment")
                value = child.child_by_field_name("value")
                found += [] if value is None else self._visit(value, depth + 1)
            elif child.type == "command_name" and child.named_child_count == 1:
                word, inside = self._word(child.named_children[0], depth + 1)
                words.append(word)
                found += inside
            elif child.type in _WORDS:
                word, inside = self._word(child, depth + 1)
                words.append(word)
                found += inside
            elif child.type in ("file_redirect", "herestring_redirect"):
                found += self._visit(child, depth + 1)
            elif child.is_named:
                found += self._opaque("an unusual command", child, depth)
            else:
                self.opaque.append("an unusual command")
        if not all(_BETWEEN_WORDS.fullmatch(gap) for gap in self._gaps(node)):
            self.opaque.append("words that are not apart")
        return [*found, *self._simple(tuple(words), altered=altered, depth=depth)]

    def _simple(
        self, words: tuple[Word, ...], *, altered: bool, depth: int, open_ended: bool = False
    ) -> list[SimpleCommand]:
        """Return the command of these words, with what it runs unwrapped."""
        if not words or depth > _DEEPEST:
            self.opaque.append("no command")
            return []
        head = words[0]
        if not head.known or not head.text:
            self.opaque.append("a command that is not written out")
        elif head.text in _RESERVED | _CHANGE_THE_SHELL or "=" in head.text:
            self.opaque.append(f"`{head.text}`")
        elif head.text in ("test", "[", "printf") and may_evaluate(words):
            # -v takes a variable's name, and evaluates an index in it.
            self.opaque.append(f"`{head.text} -v`")
        wrapped = unwrap(words, open_ended=open_ended)
        command = SimpleCommand(words, altered=altered, open_ended=open_ended)
        match wrapped:
            case None:
                return [command]
            case Opaque():
                self.opaque.append(wrapped.reason)
                return [command]
            case InnerWords():
                inner: list[SimpleCommand] = []
                for each in wrapped.commands:
                    inner += self._simple(
                        each,
                        altered=altered or wrapped.altered,
                        depth=depth + 1,
                        open_ended=wrapped.open_ended or open_ended,
                    )
                return [
                    SimpleCommand(
                        words,
                        altered=altered or wrapped.altered,
                        open_ended=open_ended,
                        need=wrapped.need,
                        inner=tuple(inner),
                        inner_at=wrapped.at,
                    )
                ]
            case CodeWord():
                reader = Reader(depth + 1)
                inner = reader.code(wrapped.code)
                self.writes += reader.writes
                self.opaque += reader.opaque
                if altered:
                    inner = [_altered(each) for each in inner]
                return [SimpleCommand(words, altered=altered, need="inner", inner=tuple(inner))]


def _altered(command: SimpleCommand) -> SimpleCommand:
    return replace(command, altered=True, inner=tuple(map(_altered, command.inner)))
