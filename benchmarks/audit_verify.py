"""How long `overread audit verify` takes on a long trail, and how much memory.

Makes a database of its own with generated rows, chained as the trigger chains them, and a checkpoint for every
thousand; verifies it, then changes one row in the middle and verifies again. Run as
``.venv/bin/python benchmarks/audit_verify.py [--rows N]``. Figures with their machine stand in docs/benchmarks.md.
"""

import argparse
import contextlib
import os
import platform
import resource
import tempfile
import time
from pathlib import Path

import psycopg2

from overread.audit_verification import Verification, verify_trail
from storage.domain.audit_chain import ChainEnd, Checkpoint
from storage.objects.checkpoint_file import CheckpointFile
from storage.postgres import schema
from storage.postgres.embedded import EmbeddedPostgres
from storage.postgres.engine import open_database

_EVERY = 1000

# What the trigger does, without its lock for each row.
_GENERATE = """
ALTER TABLE audit_event DISABLE TRIGGER audit_event_joins_chain;
DO $$
DECLARE
    event audit_event;
BEGIN
    event.row_hash := decode(repeat('00', 32), 'hex');
    FOR number IN 1..{rows} LOOP
        event := (
            number, clock_timestamp(), 'job-claimed', 'worker host:4711', 'success',
            '1.2.826.0.1.3680043.8.498.' || number / 20, number,
            jsonb_build_object('kind', 'inference', 'attempt', 1, 'artifact_sha256', repeat('ab', 32)),
            event.row_hash, event.row_hash
        );
        event.row_hash := audit_row_hash(event);
        INSERT INTO audit_event SELECT event.*;
    END LOOP;
    UPDATE audit_head SET rows = event.id, row_hash = event.row_hash;
END
$$;
ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_event_joins_chain;
"""


def main() -> None:
    """Generate, verify, tamper, verify again; print seconds and memory."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000)
    rows = options.parse_args().rows
    with tempfile.TemporaryDirectory(prefix="overread-bench-") as name:
        Path(name).chmod(0o711)
        server = EmbeddedPostgres(Path(name) / "postgres")
        server.start()
        try:
            schema.upgrade(server.owner_url)
            start = time.perf_counter()
            _as_owner(server.owner_url, _GENERATE.format(rows=rows))
            checkpoints = _checkpoints(server.owner_url, Path(name))
            print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
            print(f"{rows} rows generated in {time.perf_counter() - start:.0f} s")
            _measure(server.owner_url, checkpoints, "untouched")
            _as_owner(
                server.owner_url,
                "ALTER TABLE audit_event DISABLE TRIGGER audit_event_is_append_only;"
                "UPDATE audit_event SET actor = 'x' WHERE id = (SELECT rows / 2 FROM audit_head);"
                "ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_event_is_append_only",
            )
            _measure(server.owner_url, checkpoints, "one row changed in the middle")
        finally:
            server.stop()


def _checkpoints(url: str, folder: Path) -> CheckpointFile:
    checkpoints = CheckpointFile(folder / "data")
    query = f"SELECT id, row_hash, recorded_at FROM audit_event WHERE id % {_EVERY} = 0 ORDER BY id"  # noqa: S608
    with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        for row_id, row_hash, at in cursor:
            checkpoints.append(Checkpoint(ChainEnd(row_id, bytes(row_hash)), at.isoformat()))
    return checkpoints


def _measure(url: str, checkpoints: CheckpointFile, what: str) -> Verification:
    database = open_database(url, "benchmark")
    before = _peak_mebibytes()
    start = time.perf_counter()
    found = verify_trail(database, checkpoints)
    seconds = time.perf_counter() - start
    database.close()
    outcome = f"first bad row {found.first_bad_row}" if found.faults else f"{found.rows} rows fit"
    print(
        f"{what}: {outcome}, {found.anchored} confirmed, in {seconds:.1f} s; "
        f"peak memory {_peak_mebibytes():.0f} MiB, {_peak_mebibytes() - before:.0f} of them for this"
    )
    return found


def _peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _as_owner(url: str, statements: str) -> None:
    with contextlib.closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statements)


if __name__ == "__main__":
    main()
