"""Fetching one study: what does the archive list, what of it lacks here, have that come, look what came."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from listener.scu.query.archive import Archive, ArchiveFailed, Lacking
from listener.scu.query.matching import ListedInstance
from storage.domain.fetch import FetchEnd, FetchOutcome, FetchPurpose
from storage.domain.job import Reason
from storage.ports.fetches import Fetches, NewFetch

_ABSENT = Reason(
    "archive-lacks-study",
    "The archive lists no instance of this study; check the Study Instance UID, or ask another one.",
)
LESS = Reason(
    "archive-gave-less",
    "The archive gave less than it lists, or some was refused here; `overread explain` with the Study Instance UID "
    "tells what was set aside, and the same command again asks for what lacks alone.",
)
_INTERRUPTED = Reason("interrupted", "The fetch was interrupted; the same command again asks for what lacks alone.")


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches studies from one archive for ``actor``; ``kept`` tells which instances are on stable storage here.

    ``expect`` is told which instances a fetch asks for, by its identifier, before any comes.
    """

    name: str
    way: str
    archive: Archive
    fetches: Fetches
    kept: Callable[[Collection[str]], set[str]]
    actor: str
    expect: Callable[[int, Collection[str]], None] = lambda _, __: None

    def fetch(self, study_instance_uid: str, purpose: FetchPurpose) -> FetchEnd:
        """Get what lacks here of a study, and nothing else; every end is a row with a reason.

        Raises:
            ArchiveFailed: with ``over`` set, so that no other study would fare better; it is written down before.
            DatabaseUnavailable: nothing is known of how it ended.
        """
        try:
            listed = self.archive.list_instances(study_instance_uid)
        except ArchiveFailed as failed:
            return self._failed(study_instance_uid, purpose, failed)
        uids = [one.sop_instance_uid for one in listed]
        before = self.kept(uids)
        lacking = lacking_of(listed, before)
        fetch_id = self._begin(study_instance_uid, purpose, [uid for uid in uids if uid not in before])
        self.expect(fetch_id, uids)
        said, failed_with = _ABSENT if not listed else None, None
        try:
            if lacking:
                said = self.archive.retrieve(study_instance_uid, lacking, whole=not before)
        except ArchiveFailed as failed:
            said, failed_with = failed.reason, failed
        except BaseException:
            self._end(fetch_id, uids, before, _INTERRUPTED)
            raise
        end = self._end(fetch_id, uids, before, said)
        if failed_with is not None and failed_with.over:
            raise failed_with
        return end

    def _begin(self, study_instance_uid: str, purpose: FetchPurpose, uids: Sequence[str]) -> int:
        return self.fetches.begin(NewFetch(study_instance_uid, self.name, self.way, purpose, self.actor, uids))

    def _end(self, fetch_id: int, uids: Sequence[str], before: set[str], said: Reason | None) -> FetchEnd:
        held = self.kept(uids)
        new = len(held - before)
        if uids and len(held) == len(set(uids)):
            end = FetchEnd(FetchOutcome.COMPLETE, len(uids), len(held), new, None, frozenset(uids))
        else:
            outcome = FetchOutcome.INCOMPLETE if new else FetchOutcome.FAILED
            end = FetchEnd(outcome, len(uids), len(held), new, said or LESS, frozenset(uids))
        self.fetches.end(fetch_id, end)
        return end

    def _failed(self, study_instance_uid: str, purpose: FetchPurpose, failed: ArchiveFailed) -> FetchEnd:
        end = FetchEnd(FetchOutcome.FAILED, 0, 0, 0, failed.reason)
        self.fetches.end(self._begin(study_instance_uid, purpose, []), end)
        if failed.over:
            raise failed
        return end


def lacking_of(listed: Sequence[ListedInstance], kept: set[str]) -> list[Lacking]:
    """What is not kept, series by series in the order of the list."""
    series: dict[str, list[ListedInstance]] = {}
    for one in listed:
        series.setdefault(one.series_instance_uid, []).append(one)
    return [
        Lacking(uid, missing, len(missing) == len(instances))
        for uid, instances in series.items()
        if (missing := tuple(one for one in instances if one.sop_instance_uid not in kept))
    ]
