"""Keeps the words of pynetdicom and pydicom out of our logs: they repeat what the peer sent."""

import logging

from pydicom import config as pydicom_config
from pynetdicom import _config

log = logging.getLogger("listener.scp.toolkit")


class _WithoutWords(logging.Handler):
    """Says where a toolkit complained and which exception it met, never what about."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log the place instead of the message."""
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else "no exception"
        log.log(record.levelno, "%s line %d complained (%s).", record.name, record.lineno, error)


def quiet_toolkits() -> None:
    """Route both toolkits' warnings through the handler above; for the whole process, and any number of times."""
    _config.LOG_HANDLER_LEVEL = "none"  # no handlers that format each PDU and command for a debug log
    pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE  # its warnings quote the values
    logging.captureWarnings(True)  # a warning may quote a value too, and is printed wherever it was called
    for name in ("pynetdicom", "pydicom", "py.warnings"):
        toolkit = logging.getLogger(name)
        toolkit.setLevel(logging.WARNING)
        toolkit.propagate = False
        toolkit.handlers = [_WithoutWords()]
