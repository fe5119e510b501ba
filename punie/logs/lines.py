"""How a record of the log reads for a person."""

from punie.logs.reader import LogRecord

_COLOURS = {"DEBUG": "2", "INFO": "36", "WARNING": "33", "ERROR": "31"}
_HIDDEN = {"time", "level", "event", "logger", "exception", "command", "pid"}


def render(record: LogRecord, *, colour: bool) -> str:
    """Return a record as a person reads it: local time, level, event, fields, then a traceback."""
    moment = record.time.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    level = f"{record.level:<7}"
    fields = " ".join(
        f"{name}={_shown(value)}" for name, value in record.fields.items() if name not in _HIDDEN
    )
    event = _printable(record.event)
    if colour:
        level = f"\x1b[{_COLOURS.get(record.level, '0')}m{level}\x1b[0m"
        moment, fields = f"\x1b[2m{moment}\x1b[0m", f"\x1b[2m{fields}\x1b[0m"
    lines = [f"{moment} {level} {event} {fields}".rstrip()]
    trace = record.fields.get("exception")
    if isinstance(trace, str):
        lines += [f"    {_printable(line)}" for line in trace.splitlines()]
    return "\n".join(lines)


def _shown(value: object) -> str:
    text = _printable(str(value))
    return repr(text) if " " in text or not text else text


def _printable(text: str) -> str:
    """Write control characters out, so that a log line cannot steer the terminal."""
    return "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in text
    )
