"""A C-STORE receiver as one writes it with pynetdicom: ``plain`` saves files, ``durable`` also syncs and records them.

Run as ``python pynetdicom_receiver.py plain|durable PORT FOLDER``. ``durable`` writes the raw bytes, syncs file and
folder, and commits one row (SQLite, synchronous=FULL) before it answers.
"""

import logging
import os
import signal
import sqlite3
import sys
import threading
from pathlib import Path

from pydicom.filewriter import write_file_meta_info
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification


def main() -> None:
    """Receive until SIGTERM."""
    how, port, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    entity = AE("BENCH")
    entity.maximum_associations = 100
    entity.maximum_pdu_size = 128 * 1024
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(context.abstract_syntax, ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"])
    entity.add_supported_context(Verification)
    store = _Durable(folder).store if how == "durable" else lambda event: _plain(event, folder)
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    server.shutdown()
    os._exit(0)


def _plain(event: evt.Event, folder: Path) -> int:
    instance = event.dataset
    instance.file_meta = event.file_meta
    instance.save_as(folder / f"{instance.SOPInstanceUID}.dcm", enforce_file_format=True)
    return 0x0000


class _Durable:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._rows = sqlite3.connect(folder / "rows.sqlite", check_same_thread=False, isolation_level=None)
        self._rows.execute("PRAGMA journal_mode=WAL")
        self._rows.execute("PRAGMA synchronous=FULL")
        self._rows.execute("CREATE TABLE instance (uid TEXT PRIMARY KEY, size INTEGER)")
        self._directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    def store(self, event: evt.Event) -> int:
        uid = event.request.AffectedSOPInstanceUID
        data_set = event.request.DataSet.getvalue()
        with (self._folder / f"{uid}.dcm").open("wb") as file:
            file.write(bytes(128) + b"DICM")
            write_file_meta_info(file, event.file_meta)
            file.write(data_set)
            file.flush()
            os.fdatasync(file.fileno())
        os.fsync(self._directory)
        with self._lock:
            self._rows.execute("INSERT INTO instance VALUES (?, ?)", (uid, len(data_set)))
        return 0x0000


if __name__ == "__main__":
    main()
