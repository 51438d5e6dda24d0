"""One run of a cohort: fetch, have analysed, a bounded number at a time; a killed run is gone on with by the next."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from listener.scu.query.archive import ArchiveFailed
from listener.scu.query.fetching import LESS
from overread.errors import FrontDeskError
from overread.fetching import Desk
from storage.domain.cohort import ENDED, UNDER_WAY, Cohort, MemberState
from storage.domain.fetch import FetchEnd, FetchOutcome, FetchPurpose
from storage.domain.job import Reason
from storage.errors import SpoolFull
from storage.postgres.cohort_rows import PostgresCohorts
from storage.postgres.cohort_studies import Standing

Counts = dict[MemberState, int]

_LOOK_SECONDS = 0.25
_GONE_ON = "run the same command again to go on."


class CohortPaused(FrontDeskError):
    """The cohort could not go on; run the same command again later."""


@dataclass(frozen=True, slots=True)
class CohortRun:
    """What one run has; ``desk`` is ``None`` where nothing is fetched.

    ``make_stable`` says of a study that nothing more of it comes; ``report`` is told how far it is. A study whose
    images have no rows after ``patience_seconds`` ends the run: nobody imports them.
    """

    cohorts: PostgresCohorts
    cohort: Cohort
    actor: str
    desk: Desk | None
    standing: Callable[[str, Collection[str]], Standing]
    make_stable: Callable[[str], object]
    report: Callable[[Counts], None]
    in_flight: int
    patience_seconds: float = 120.0

    def run(self) -> Counts:
        """Go on until every study has ended, and return how they did.

        Raises:
            CohortPaused: the archive or the disk lets nothing more come; what is written down stays.
            DatabaseUnavailable: likewise.
        """
        while True:
            self.cohorts.settle(self.cohort)
            counts = self.cohorts.counts(self.cohort)
            self.report(counts)
            if sum(counts[state] for state in ENDED) == sum(counts.values()):
                return counts
            # A study that was being fetched when a run was killed is under way already, and is gone on with first.
            if sum(counts[state] for state in UNDER_WAY) < self.in_flight or counts[MemberState.FETCHING]:
                uid = self.cohorts.take(self.cohort)
                if uid is not None:
                    self._prepare(uid)
                    continue
            time.sleep(_LOOK_SECONDS)

    def _prepare(self, study_instance_uid: str) -> None:
        """Have one study here and stable, then scheduled; or failed with a reason."""
        listed, reason = self._fetched(study_instance_uid)
        reason = reason or self._await_stable(study_instance_uid, listed)
        if reason is not None:
            self.cohorts.fail(self.cohort, study_instance_uid, reason)
            return
        self.cohorts.schedule(self.cohort, study_instance_uid, self.actor)

    def _fetched(self, study_instance_uid: str) -> tuple[frozenset[str], Reason | None]:
        """The instances that the archive lists, all of which are here; or why they are not."""
        if self.desk is None:
            return frozenset(), None
        try:
            self.desk.require_room()
            end: FetchEnd = self.desk.fetcher.fetch(study_instance_uid, FetchPurpose.CONTEXT)
            if end.outcome is not FetchOutcome.COMPLETE:
                self.desk.require_room()  # what a full disk kept out, the archive did not keep back
        except SpoolFull as error:
            raise CohortPaused(f"{error} Then {_GONE_ON}") from None
        except ArchiveFailed as failed:
            raise CohortPaused(f"{failed.reason.sentence} Then {_GONE_ON}") from None
        return end.sop_instance_uids, None if end.outcome is FetchOutcome.COMPLETE else end.reason

    def _await_stable(self, study_instance_uid: str, listed: frozenset[str]) -> Reason | None:
        """Wait until its rows are there and hold still; nothing that is here alone is waited for.

        What lies in no spool and has no row in the study never gets one: it was set aside, or is another study's.
        """
        seen, since = -1, time.monotonic()
        while True:
            # In this order: whatever gets its row leaves the spool after that.
            spooled = self.desk.waiting(listed) if self.desk is not None and seen >= 0 else listed
            standing = self.standing(study_instance_uid, listed)
            if not standing.lacking and (not standing.unsettled or not standing.known):
                return None
            if not standing.lacking and standing.context_only:
                self.make_stable(study_instance_uid)
                return None
            if standing.lacking and not spooled:
                return LESS
            if standing.lacking != seen:
                seen, since = standing.lacking, time.monotonic()
            if time.monotonic() - since > self.patience_seconds:
                raise CohortPaused(
                    f"Study {study_instance_uid} waits to be imported or to become complete; check that `overread "
                    f"listen` and `overread housekeep` run, then {_GONE_ON}"
                )
            time.sleep(_LOOK_SECONDS)
