"""The protocol's own types, made of questions and answers. Imported with the first question."""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import unquote, urlsplit

from cattrs import BaseValidationError
from lsprotocol import types
from lsprotocol.converters import get_converter

from punie.workspace.lsp.model import LanguageServerError
from punie.workspace.lsp.positions import ENCODINGS

_Kind = TypeVar("_Kind")

_KIND_WORDS = {
    types.SymbolKind.Enum: "enum",
    types.SymbolKind.EnumMember: "member",
    types.SymbolKind.TypeParameter: "type parameter",
}


@cache
def _converter() -> Any:
    return get_converter()


def initialize(root: Path) -> dict[str, Any]:
    """Return the parameters of the first request."""
    return _plain(
        types.InitializeParams(
            process_id=None,
            root_uri=root.as_uri(),
            workspace_folders=[types.WorkspaceFolder(uri=root.as_uri(), name=root.name)],
            capabilities=types.ClientCapabilities(
                general=types.GeneralClientCapabilities(
                    position_encodings=[types.PositionEncodingKind(name) for name in ENCODINGS]
                ),
                workspace=types.WorkspaceClientCapabilities(
                    workspace_folders=True,
                    did_change_watched_files=types.DidChangeWatchedFilesClientCapabilities(
                        dynamic_registration=True
                    ),
                ),
                text_document=types.TextDocumentClientCapabilities(
                    document_symbol=types.DocumentSymbolClientCapabilities(
                        hierarchical_document_symbol_support=True
                    ),
                    hover=types.HoverClientCapabilities(
                        content_format=[types.MarkupKind.PlainText]
                    ),
                    rename=types.RenameClientCapabilities(prepare_support=True),
                    # So that it sends no diagnostics unasked.
                    diagnostic=types.DiagnosticClientCapabilities(),
                ),
            ),
        )
    )


def opened(path: Path, text: str) -> dict[str, Any]:
    """Return the parameters of `textDocument/didOpen`."""
    document = types.TextDocumentItem(uri=path.as_uri(), language_id="python", version=1, text=text)
    return _plain(types.DidOpenTextDocumentParams(text_document=document))


def changed(path: Path, version: int, text: str) -> dict[str, Any]:
    """Return the parameters of `textDocument/didChange` for a whole new text."""
    return _plain(
        types.DidChangeTextDocumentParams(
            text_document=types.VersionedTextDocumentIdentifier(uri=path.as_uri(), version=version),
            content_changes=[types.TextDocumentContentChangeWholeDocument(text=text)],
        )
    )


def document(path: Path) -> dict[str, Any]:
    """Return the parameters of whatever is asked about a whole document."""
    return {"textDocument": _plain(types.TextDocumentIdentifier(uri=path.as_uri()))}


def at(path: Path, position: tuple[int, int]) -> dict[str, Any]:
    """Return the parameters of whatever is asked about a position."""
    line, character = position
    return _plain(
        types.TextDocumentPositionParams(
            text_document=types.TextDocumentIdentifier(uri=path.as_uri()),
            position=types.Position(line=line, character=character),
        )
    )


def watched(kinds: Iterable[tuple[str, int]]) -> dict[str, Any]:
    """Return the parameters of `workspace/didChangeWatchedFiles`."""
    return _plain(
        types.DidChangeWatchedFilesParams(
            changes=[
                types.FileEvent(uri=Path(path).as_uri(), type=types.FileChangeType(kind))
                for path, kind in kinds
            ]
        )
    )


def server_encoding(answer: Any) -> str:
    """Return the position encoding that the server has chosen."""
    # Not structured as a whole: the converter cannot do what servers say of notebooks.
    chosen = answer.get("capabilities", {}).get("positionEncoding")
    return str(chosen or types.PositionEncodingKind.Utf16.value)


def locations(answer: Any) -> Sequence[types.Location]:
    """Return the locations of an answer that is one, several or none."""
    if answer is None:
        return []
    listed = answer if isinstance(answer, list) else [answer]
    return [_structured(each, types.Location) for each in listed]


def document_symbols(answer: Any) -> Sequence[types.DocumentSymbol]:
    """Return the symbols of a document."""
    return [_structured(each, types.DocumentSymbol) for each in answer or []]


def workspace_symbols(answer: Any) -> Sequence[types.SymbolInformation]:
    """Return the symbols that a search found."""
    return [_structured(each, types.SymbolInformation) for each in answer or []]


def edits(answer: Any) -> dict[str, Sequence[types.TextEdit]]:
    """Return the edits of a workspace edit by the files' addresses."""
    if answer is None:
        return {}
    edit = _structured(answer, types.WorkspaceEdit)
    return dict(edit.changes or {})


def hover_text(answer: Any) -> str:
    """Return what a hover says, "" if nothing."""
    if answer is None:
        return ""
    contents = _structured(answer, types.Hover).contents
    return contents.value.strip() if isinstance(contents, types.MarkupContent) else ""


def diagnostics(answer: Any) -> Sequence[types.Diagnostic]:
    """Return what a report on a document lists, apart from hints, which are no faults."""
    items = answer.get("items", []) if isinstance(answer, dict) else []
    listed = [_structured(each, types.Diagnostic) for each in items]
    return [each for each in listed if each.severity != types.DiagnosticSeverity.Hint]


def severity_word(severity: types.DiagnosticSeverity | None) -> Literal["error", "warning", "info"]:
    """Return how bad something is; what the server does not say is an error."""
    match severity:
        case types.DiagnosticSeverity.Warning:
            return "warning"
        case types.DiagnosticSeverity.Information:
            return "info"
        case _:
            return "error"


def kind_word(kind: types.SymbolKind) -> str:
    """Return the kind of a symbol in a word."""
    return _KIND_WORDS.get(kind, kind.name.lower())


def path_of(uri: str) -> Path | None:
    """Return the file of an address, None if it is the address of something else."""
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _structured(value: Any, kind: type[_Kind]) -> _Kind:
    try:
        made: _Kind = _converter().structure(value, kind)
    except BaseValidationError as error:
        raise LanguageServerError(
            "the Python language server gave an answer that is not in the protocol"
        ) from error
    return made


def _plain(value: Any) -> dict[str, Any]:
    made: dict[str, Any] = _converter().unstructure(value)
    return made
