"""What devices compiled of networks goes with the algorithm: it is large, and is made again when it is wanted."""

import logging
import re
import shutil
from pathlib import Path

from storage.objects.layout import COMPILED_NETWORKS
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.engine import Database

_LOG = logging.getLogger(__name__)
_DIGEST = re.compile(r"[0-9a-f]{64}")


def forget_compiled(database: Database, data_dir: Path) -> int:
    """Remove what was compiled of networks that no version with work has, and return of how many.

    A retired version keeps it for as long as it has a job. Whatever else somebody has put there stays.

    Raises:
        DatabaseUnavailable: nothing was removed.
    """
    compiled = data_dir / COMPILED_NETWORKS
    there = [one for one in compiled.iterdir() if _DIGEST.fullmatch(one.name)] if compiled.is_dir() else []
    if not there:
        return 0
    wanted = PostgresAlgorithmCatalog(database).artifacts_at_work()
    removed = 0
    for one in there:
        if one.name not in wanted:
            shutil.rmtree(one, ignore_errors=True)  # what cannot be removed is tried again
            removed += not one.exists()
    if removed:
        _LOG.info("removed what was compiled of networks that have no more work: %d", removed)
    return removed
