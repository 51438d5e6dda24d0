"""Says when a study has all that one study may have, so that one study cannot fill the disk."""

import logging
from collections.abc import Mapping

from storage.domain.study import StudySize
from storage.objects.full_studies import FullStudies
from storage.ports.arrivals import ArrivalLog

log = logging.getLogger(__name__)


class StudyQuota:
    """The importer's side of the quota; nothing of a study is kept in memory."""

    def __init__(self, full_studies: FullStudies, arrivals: ArrivalLog) -> None:
        self._full_studies = full_studies
        self._arrivals = arrivals

    def apply(self, sizes: Mapping[str, StudySize]) -> None:
        """Close the studies that have reached the quota, by Study Instance UID.

        Raises:
            DatabaseUnavailable: it must be asked again.
            OSError: likewise.
        """
        for uid, size in sizes.items():
            if self._full_studies.may_hold(size) or self._full_studies.has(uid):
                continue
            self._arrivals.record_full_study(uid, size)  # first: what a crash leaves out is the file, which comes again
            self._full_studies.add(uid)
            log.warning(
                "Study %s is full: %d instances of %d bytes are held, so further ones are refused; if it is a real "
                "study, raise most_instances_per_study or most_bytes_per_study in [spool] and start Overread again.",
                *(uid, size.instances, size.bytes),
            )

    def look_again(self) -> None:
        """Open the studies that are below the quota, because it was raised or they are gone. Raises as ``apply``."""
        uids = list(self._full_studies.all())
        sizes = self._arrivals.sizes(uids) if uids else {}
        for uid in uids:
            if uid not in sizes or self._full_studies.may_hold(sizes[uid]):
                self._full_studies.remove(uid)
                log.info("Study %s is below the quota; further instances of it are taken.", uid)
