"""A spool's importer without a database, and a spool as another process would have it."""

from storage.domain.study import StudySize
from storage.importer import SpoolImporter
from storage.objects.object_store import ObjectStore
from storage.objects.spool import FileSpool
from storage.settings import SpoolSettings


class NoRows:
    """Takes rows and keeps none."""

    def digests(self, sop_instance_uids) -> dict[str, str]:
        """Nothing has a row."""
        return {}

    def record(self, arrivals, quarantined, associations) -> dict[str, StudySize]:
        """Nothing is refused."""
        return {}

    def sizes(self, study_instance_uids) -> dict[str, StudySize]:
        """Nothing is held."""
        return {}


def imported(folder, spool) -> None:
    """Import what waits, without a database."""
    SpoolImporter(spool, ObjectStore(folder), NoRows()).import_pending()


def another(folder) -> FileSpool:
    """What another process would have."""
    return FileSpool(folder, SpoolSettings(min_free_bytes=0))
