"""Log lines on standard error: time in UTC, level, room, sentence; one record a line, whatever is in it."""

import logging
import re
import sys
import threading
import time
import traceback
import warnings
from types import TracebackType
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pythonjsonlogger.json import JsonFormatter

_TIME = "%Y-%m-%dT%H:%M:%SZ"

# What could begin a line, steer a terminal or turn the direction of text: C0 and C1 controls, line and paragraph
# separators, marks and overrides of direction, and lone surrogates.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


class LogSettings(BaseModel):
    """What the roles write on standard error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["text", "json"] = Field(
        default="text", description="text is for people; json gives one object a line to a log collector."
    )


def configure_logging(settings: LogSettings | None = None) -> None:
    """Send every room's log to standard error, one line per event.

    Libraries are heard from WARNING on: some of them put received values into their lower levels. Their Python
    warnings are not heard at all, and of an exception its type and place are told, never its text.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_json_lines() if settings and settings.format == "json" else _TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for room in ("overread", "listener", "inference", "storage"):
        logging.getLogger(room).setLevel(logging.INFO)
    warnings.simplefilter("ignore")
    sys.excepthook = _log_unexpected
    threading.excepthook = lambda unexpected: _log_unexpected(
        unexpected.exc_type, unexpected.exc_value, unexpected.exc_traceback
    )


def writes_json() -> bool:
    """Whether this process logs for a collector."""
    return any(isinstance(handler.formatter, _JsonLines) for handler in logging.getLogger().handlers)


def one_line(text: str) -> str:
    """The text with what could break out of its line written as an escape."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class _TextLines(logging.Formatter):
    """Lines for people."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", _TIME)

    def format(self, record: logging.LogRecord) -> str:
        """The whole record as one line."""
        return one_line(super().format(_without_text(record)))


class _JsonLines(JsonFormatter):
    """One object a line."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """The whole record as one line; what could break out of a string is escaped as JSON has it."""
        return super().format(_without_text(record))


def _json_lines() -> logging.Formatter:
    return _JsonLines(
        "%(asctime)s %(levelname)s %(name)s %(process)d %(message)s",
        _TIME,
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
    )


def _without_text(record: logging.LogRecord) -> logging.LogRecord:
    """The record with the type and place of its exception instead of a stack, which repeats the exception's text."""
    if record.exc_info and record.exc_info[0]:
        kind, _, trace = record.exc_info
        record = logging.makeLogRecord(record.__dict__)
        record.msg, record.args = f"{record.getMessage()} ({_told(kind, trace)})", None
        record.exc_info = record.exc_text = None
    record.stack_info = None
    return record


def _told(kind: type[BaseException] | None, trace: TracebackType | None) -> str:
    places = traceback.extract_tb(trace)
    where = f" in {places[-1].name} ({places[-1].lineno})" if places else ""
    return f"{kind.__name__ if kind else 'an error'}{where}"


def _log_unexpected(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """What nobody caught, in the main thread or another one."""
    if not issubclass(kind, SystemExit):
        logging.getLogger("overread").error("unexpected %s", _told(kind, trace))
