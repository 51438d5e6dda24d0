"""Log lines on standard error: time in UTC, level, room, sentence."""

import logging
import sys
import time


def configure_logging() -> None:
    """Send every room's log to standard error, one line per event.

    Libraries are heard from WARNING on: some of them put received values into their lower levels.
    """
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for room in ("overread", "listener", "inference", "storage"):
        logging.getLogger(room).setLevel(logging.INFO)
