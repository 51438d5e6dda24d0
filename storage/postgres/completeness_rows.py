"""What is known of whether a study is complete: what peers named, who sent it, and what a decision rested on."""

from collections.abc import Collection, Iterable

from sqlalchemy import delete, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from storage.domain.completeness import (
    NAMING,
    AvailabilityNotice,
    Decision,
    Evidence,
    EvidenceKind,
    LargestSeries,
    Named,
    Patience,
    Source,
    SourcePatience,
    contract_evidence,
    count_evidence,
    geometry_evidence,
    naming_evidence,
)
from storage.domain.slice_positions import Slice
from storage.postgres.engine import Database
from storage.postgres.statement import statement
from storage.postgres.stored_text import stored_text
from storage.postgres.study_counts import known_counts
from storage.postgres.tables import (
    CompletenessClaimRow,
    InstanceImageRow,
    InstanceRow,
    RevisionEvidenceRow,
    SeriesRow,
)

_KEPT_DAYS = 30  # longer than the longest of all waits
_MOST_CLAIMS = 50_000  # of days in which peers say more than any study waits for
_STUDIES_SEEN = 1_000  # that wait at one time with a gap; of more the oldest are read again
_MOST_STUDIES = 20  # of one request


class PostgresCompletenessClaims:
    """Implements the port CompletenessClaims."""

    def __init__(self, database: Database, patience: Patience) -> None:
        self._database = database
        self._patience = patience

    def note(
        self, claim_id: str, kind: EvidenceKind, calling_ae_title: str, sop_instance_uids: Collection[str]
    ) -> None:
        """Note that a peer named these instances; the same ``claim_id`` again changes nothing.

        Instances of more than twenty studies at once are evidence of none and are not noted, and neither is what is
        not believed of this peer.

        Raises:
            DatabaseUnavailable: nothing was noted.
        """
        if not self._patience.believes(kind, Source(calling_ae_title)):
            return
        with self._database.transaction() as session:
            session.execute(
                statement("note_claim"),
                {
                    "claim_id": claim_id,
                    "kind": str(kind),
                    "calling_ae_title": stored_text(calling_ae_title.strip(" ")),
                    "sop_instance_uids": [stored_text(uid) for uid in sop_instance_uids],
                    "most_studies": _MOST_STUDIES,
                },
            )

    def note_available(self, claim_id: str, notice: AvailabilityNotice) -> None:
        """Note what a peer says that it holds of a study, which need not be here yet; the same again changes nothing.

        What is not believed of this peer is not noted.

        Raises:
            DatabaseUnavailable: nothing was noted.
        """
        if not self._patience.believes(EvidenceKind.AVAILABILITY, Source(notice.calling_ae_title)):
            return
        claim = {
            "claim_id": claim_id,
            "study_instance_uid": stored_text(notice.study_instance_uid),
            "kind": str(EvidenceKind.AVAILABILITY),
            "calling_ae_title": stored_text(notice.calling_ae_title.strip(" ")),
            "sop_instance_uids": sorted({stored_text(uid) for uid in notice.sop_instance_uids}),
        }
        with self._database.transaction() as session:
            session.execute(upsert(CompletenessClaimRow).values(**claim).on_conflict_do_nothing())


def forget_old_claims(database: Database, most: int = _MOST_CLAIMS) -> int:
    """Remove what peers said so long ago that no study waits for it, and all but the newest; how many rows it were.

    Raises:
        DatabaseUnavailable: nothing was removed.
    """
    with database.transaction() as session:
        newest = select(CompletenessClaimRow.received_at).order_by(CompletenessClaimRow.received_at.desc())
        old = func.now() - func.make_interval(0, 0, 0, _KEPT_DAYS)
        gone = session.execute(
            delete(CompletenessClaimRow)
            .where(
                CompletenessClaimRow.received_at
                < func.greatest(old, newest.offset(most - 1).limit(1).scalar_subquery())
            )
            .returning(CompletenessClaimRow.claim_id)
        )
        return len(gone.all())


def unsettled_sources(session: Session, study_id: int) -> dict[Source, int]:
    """Who sent the instances that count and that no revision holds, and how many; empty when there are none."""
    rows = session.execute(statement("unsettled_sources"), {"study_id": study_id})
    return {Source(row.name, row.web): row.instances for row in rows}


def gathered_evidence(
    session: Session,
    study_id: int,
    study_instance_uid: str,
    patience: Patience,
    of_study: SourcePatience,
    quiet_for: float,
    seen: "GeometrySeen",
) -> Iterable[Evidence]:
    """All evidence that is believed of this study, from the rows alone; of the images only once it has been quiet.

    The positions of a large study take a while to read, and before the quiet time they decide nothing.
    """
    claims = session.execute(
        select(CompletenessClaimRow.kind, CompletenessClaimRow.calling_ae_title)
        .where(CompletenessClaimRow.study_instance_uid == study_instance_uid)
        .distinct()
    ).all()
    for naming in NAMING:
        named_by = [Source(title) for kind, title in claims if kind == naming]
        peers = [source for source in named_by if patience.believes(naming, source)]
        if peers:
            yield naming_evidence(naming, peers, _claimed(session, study_id, study_instance_uid, naming, peers))
    counts = known_counts(session, study_id, of_study.count_at) if of_study.count_at else []
    if counts:
        yield count_evidence(counts)
    if quiet_for < of_study.quiet_seconds:
        return
    if EvidenceKind.GEOMETRY in of_study.evidence:
        yield from seen.evidence(session, study_id)
    if EvidenceKind.CONTRACT in of_study.evidence:
        yield from _needed(session, study_id)


def _needed(session: Session, study_id: int) -> Iterable[Evidence]:
    """What active algorithms need, beside the largest series that they could take; nothing where none takes any."""
    rows = session.execute(statement("largest_series"), {"study_id": study_id}).all()
    if rows:
        yield contract_evidence([LargestSeries(row.algorithm, row.needs, row.modality, row.images) for row in rows])


class GeometrySeen:
    """What the positions of studies that go on waiting said; they are read again only once something has arrived."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[object, tuple[Evidence, ...]]] = {}
        self._standing: object = None

    def at(self, standing: object) -> "GeometrySeen":
        """For a look at a study; it has changed where this differs from what it was at the look before."""
        self._standing = standing
        return self

    def evidence(self, session: Session, study_id: int) -> tuple[Evidence, ...]:
        """None where no image has a position."""
        known = self._seen.get(study_id)
        if known is not None and known[0] == self._standing:
            return known[1]
        slices = _slices(session, study_id)
        said = (geometry_evidence(slices),) if slices else ()
        while len(self._seen) >= _STUDIES_SEEN:
            del self._seen[next(iter(self._seen))]
        self._seen[study_id] = self._standing, said
        return said


def _slices(session: Session, study_id: int) -> dict[str, list[Slice]]:
    """Where the single-frame images of each series lie, by Series Instance UID."""
    rows = session.execute(
        select(
            SeriesRow.series_instance_uid,
            InstanceImageRow.image_position_patient,
            InstanceImageRow.image_orientation_patient,
        )
        .join(InstanceRow, InstanceRow.series_id == SeriesRow.id)
        .join(InstanceImageRow, InstanceImageRow.instance_id == InstanceRow.id)
        .where(
            SeriesRow.study_id == study_id,
            InstanceRow.excluded_rule.is_(None),
            InstanceImageRow.number_of_frames == 1,
        )
    )
    found: dict[str, list[Slice]] = {}
    for uid, position, orientation in rows:
        if position and orientation:
            found.setdefault(uid, []).append(Slice(tuple(position), tuple(orientation)))
    return found


def store_decision(session: Session, study_id: int, revision: int, decision: Decision) -> None:
    """Write what the decision rested on beside the revision that it opened."""
    session.execute(
        insert(RevisionEvidenceRow),
        [
            {
                "study_id": study_id,
                "revision": revision,
                "kind": str(one.kind),
                "word": str(one.word),
                "decisive": one.kind is decision.because,
                "sentence": one.sentence,
            }
            for one in decision.evidence
        ],
    )


def _claimed(
    session: Session, study_id: int, study_instance_uid: str, kind: EvidenceKind, peers: Iterable[Source]
) -> Named:
    """What they named, beside what is here."""
    row = session.execute(
        statement("claimed_instances"),
        {
            "study_id": study_id,
            "study_instance_uid": study_instance_uid,
            "kind": str(kind),
            "calling_ae_titles": [source.name for source in peers],
        },
    ).one()
    return Named(row.named, row.absent, row.unnamed, row.aside, row.ours)
