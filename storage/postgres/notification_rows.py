"""Notifications in rows: what is owed to whom, what was answered; each end with its audit row."""

import random
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditAction, AuditEvent, AuditOutcome
from storage.domain.notification import (
    ENDED_BADLY,
    UNDECIDED,
    Answer,
    NotificationEvent,
    NotificationRequest,
    NotificationState,
    ReceiverPolicy,
    ReportReference,
    ToldResult,
    next_notification_state,
    pause_seconds,
)
from storage.ports.facts import Facts
from storage.postgres.audit_trail import append
from storage.postgres.engine import Database
from storage.postgres.facts import ask
from storage.postgres.notification_tables import NotificationReceiverRow, NotificationRow
from storage.postgres.statement import statement
from storage.postgres.stored_text import stored_text
from storage.postgres.tables import JobRow, ResultRow, StudyRow

_ACTOR = "notifier"
PATIENCE_SECONDS = 600.0  # longer than any message may take; after that whoever sends it has died
_BATCH = 1_000

_NOT_CONFIGURED = "No [[notify]] entry has this name any more; add it again, or leave it."
_END_OF_EVENT = {
    NotificationEvent.DELIVER: (AuditAction.NOTIFICATION_DELIVERED, AuditOutcome.SUCCESS),
    NotificationEvent.REFUSE: (AuditAction.NOTIFICATION_REFUSED, AuditOutcome.SERIOUS_FAILURE),
    NotificationEvent.GIVE_UP: (AuditAction.NOTIFICATION_GIVEN_UP, AuditOutcome.SERIOUS_FAILURE),
    NotificationEvent.RETRY: (AuditAction.NOTIFICATION_RETRIED, AuditOutcome.SUCCESS),
}


class PostgresNotifications:
    """Implements the port Notifications; every method may raise DatabaseUnavailable, and then nothing was changed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._up_since = time.monotonic()

    def begin(self, receivers: Sequence[str]) -> int:
        """These receivers are configured, and no others; return how many messages are given up with those that left."""
        with self._database.transaction() as session:
            for name in sorted(receivers):
                fresh = {"since": func.now(), "removed_at": None, "failures": 0, "hold_until": func.now()}
                session.execute(
                    insert(NotificationReceiverRow)
                    .values(name=name)
                    .on_conflict_do_update(
                        index_elements=[NotificationReceiverRow.name],
                        set_=fresh,
                        where=NotificationReceiverRow.removed_at.is_not(None),
                    )
                )
            left = NotificationReceiverRow.name.not_in(receivers) & NotificationReceiverRow.removed_at.is_(None)
            session.execute(update(NotificationReceiverRow).where(left).values(removed_at=func.now()))
        return self._give_up_left(receivers)

    def note(self, receiver: ReceiverPolicy) -> int:
        """Owe the receiver a message for each new result that it is to be told of; how many."""
        wanted = {
            "receiver": receiver.name,
            "algorithms": list(receiver.algorithms),
            "findings_only": receiver.findings_only,
            "held": receiver.held,
            "report_at": receiver.report_at,
        }
        with self._database.transaction() as session:
            noted = len(session.execute(statement("note_notifications"), wanted).all())
            session.execute(statement("release_notifications"), wanted)
            session.execute(statement("looked_notifications"), wanted)
        return noted

    def claim(self, receiver: ReceiverPolicy) -> NotificationRequest | None:
        """Take the message that is due longest; ``None`` where none is, or the receiver is left alone for now."""
        wanted = {"receiver": receiver.name, "patience_seconds": PATIENCE_SECONDS}
        with self._database.transaction() as session:
            row = session.execute(statement("claim_notification"), wanted).one_or_none()
            if row is None:
                return None
            about = {"result_id": row.result_id, "report_at": receiver.report_at}
            told = session.execute(statement("told_result"), about).one()
        return NotificationRequest(
            row.notification_id,
            row.claim_uid,
            row.message_uid.replace("-", ""),
            None if row.body is None else bytes(row.body),
            row.tries,
            row.now,
            row.noted_at,
            _told(told),
        )

    def freeze(self, request: NotificationRequest, body: bytes) -> bool:
        """Keep what is sent, so that each later try repeats it; whether the message is still ours."""
        with self._database.transaction() as session:
            changed = update(NotificationRow).where(_is(request)).values(body=body).returning(NotificationRow.id)
            return session.execute(changed).first() is not None

    def settle(self, request: NotificationRequest, receiver: ReceiverPolicy, answer: Answer) -> None:
        """Write what the receiver answered; nothing where somebody else has taken the message since."""
        with self._database.transaction() as session:
            row = _locked(session, NotificationRow.id == request.notification_id)[0]
            if row.claim_uid != request.claim_uid or row.state != NotificationState.SENDING:
                return
            _note_standing(session, row.receiver, answer)
            if answer.event is NotificationEvent.DELIVER:
                _end(session, row, answer.event, {"delivered_at": func.now(), "body": None})
            elif answer.event is NotificationEvent.REFUSE:  # after it was mended, what is sent may have to be another
                _end(session, row, answer.event, {"body": None}, answer.code, answer.sentence)
            elif (tried := self._tried_seconds(row.owed_seconds)) > receiver.give_up_hours * 3600:
                sentence = f"It was tried for {tried / 3600:.0f} hours. The last try: {answer.sentence}"
                _end(session, row, NotificationEvent.GIVE_UP, {}, answer.code, sentence)
            else:
                wait = max(answer.wait_seconds, pause_seconds(row.tries, _jitter()))
                _move(session, row, answer.event, {"due_at": _in(wait)}, answer.code, answer.sentence)

    def _tried_seconds(self, owed_seconds: float) -> float:
        """For how long a message was tried; while we were down nobody was."""
        return min(owed_seconds, time.monotonic() - self._up_since)

    def give_back(self, request: NotificationRequest) -> None:
        """The message was not sent, because we end; whoever comes next sends it at once."""
        with self._database.transaction() as session:
            session.execute(
                update(NotificationRow)
                .where(_is(request))
                .values(
                    state=str(next_notification_state(NotificationState.SENDING, NotificationEvent.POSTPONE)),
                    claim_uid=None,
                    due_at=func.now(),
                )
            )

    def listed(
        self,
        *,
        receiver: str | None = None,
        study_instance_uid: str | None = None,
        undelivered: bool = False,
        rows: int = 1_000,
    ) -> list[Facts]:
        """The newest messages and how far each has come."""
        with self._database.transaction() as session:
            return told_messages(session, receiver, study_instance_uid, undelivered, rows)

    def retry(self, receiver: str | None, actor: str) -> int:
        """Send what was refused or given up, to one receiver or to all that are configured; how many messages.

        So many at a time that no transaction is long: what was changed before the database went away stays changed.
        """
        sent, after = 0, 0
        while True:
            with self._database.transaction() as session:
                there = select(NotificationReceiverRow.name).where(NotificationReceiverRow.removed_at.is_(None))
                wanted = (
                    NotificationRow.state.in_([str(state) for state in ENDED_BADLY])
                    & NotificationRow.receiver.in_(there)
                    & (NotificationRow.id > after)
                )
                if receiver is not None:
                    wanted &= NotificationRow.receiver == receiver
                rows = _locked(session, wanted)
                for row in rows:
                    again = {"owed_since": func.now(), "due_at": func.now(), "tries": 0}
                    _end(session, row, NotificationEvent.RETRY, again, actor=actor)
                for name in sorted({row.receiver for row in rows}):
                    session.execute(_standing(name, failures=0, hold_until=func.now()))
            if not rows:
                return sent
            sent, after = sent + len(rows), rows[-1].id

    def _give_up_left(self, receivers: Sequence[str]) -> int:
        given_up = 0
        while True:
            with self._database.transaction() as session:
                left = NotificationRow.receiver.not_in(receivers)
                rows = _locked(session, left & NotificationRow.state.in_([str(state) for state in UNDECIDED]))
                for row in rows:
                    _end(session, row, NotificationEvent.GIVE_UP, {}, "not-configured", _NOT_CONFIGURED)
            given_up += len(rows)
            if len(rows) < _BATCH:
                return given_up


def told_messages(
    session: Session, receiver: str | None, study_instance_uid: str | None, undelivered: bool, rows: int
) -> list[Facts]:
    """The newest messages of a receiver, of a study, or of all, and how far each has come."""
    return ask(
        session,
        "notifications",
        receiver=receiver,
        study_instance_uid=study_instance_uid,
        undelivered=undelivered,
        rows=rows,
    )


def _told(row: Any) -> ToldResult:  # noqa: ANN401
    return ToldResult(
        result_id=row.result_id,
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        revision=row.revision,
        patient_id=row.patient_id,
        issuer_of_patient_id=row.issuer_of_patient_id,
        accession_number=row.accession_number,
        algorithm_name=row.algorithm_name,
        algorithm_version=row.algorithm_version,
        artifact_sha256=row.artifact_sha256,
        manifest_sha256=row.manifest_sha256,
        findings=tuple(row.findings),
        stored_at=row.stored_at,
        report=_reference(row.report_class, row.report_instance, row.report_series),
        predecessor=_reference(row.earlier_class, row.earlier_instance, row.earlier_series),
    )


def _reference(sop_class_uid: str | None, instance: str | None, series: str | None) -> ReportReference | None:
    return None if sop_class_uid is None else ReportReference(sop_class_uid, instance or "", series or "")


def _locked(session: Session, wanted: Any) -> Sequence[Any]:  # noqa: ANN401 - a condition
    """Lock these messages until the transaction ends, with what is needed to settle and to audit them."""
    owed_seconds = func.extract("epoch", func.now() - NotificationRow.owed_since)
    return session.execute(
        select(
            NotificationRow.id,
            NotificationRow.receiver,
            NotificationRow.state,
            NotificationRow.claim_uid,
            NotificationRow.tries,
            NotificationRow.result_id,
            owed_seconds.label("owed_seconds"),
            StudyRow.study_instance_uid,
            JobRow.id.label("job_id"),
        )
        .join(ResultRow, ResultRow.id == NotificationRow.result_id)
        .join(JobRow, JobRow.id == ResultRow.job_id)
        .join(StudyRow, StudyRow.id == JobRow.study_id)
        .where(wanted)
        .order_by(NotificationRow.id)
        .limit(_BATCH)
        .with_for_update(of=NotificationRow)
    ).all()


def _move(
    session: Session,
    row: Any,  # noqa: ANN401
    event: NotificationEvent,
    values: dict[str, Any],
    code: str | None = None,
    sentence: str | None = None,
) -> None:
    """Move a message that is locked. Raises InvalidTransition."""
    state = next_notification_state(NotificationState(row.state), event)
    reason = {"reason_code": code, "reason_sentence": None if sentence is None else stored_text(sentence)}
    session.execute(
        update(NotificationRow)
        .where(NotificationRow.id == row.id)
        .values(state=str(state), claim_uid=None, **reason, **values)
    )


def _end(
    session: Session,
    row: Any,  # noqa: ANN401
    event: NotificationEvent,
    values: dict[str, Any],
    code: str | None = None,
    sentence: str | None = None,
    actor: str = _ACTOR,
) -> None:
    """As ``_move``, with its row in the audit trail."""
    _move(session, row, event, values, code, sentence)
    action, outcome = _END_OF_EVENT[event]
    details = {"receiver": row.receiver, "result_id": row.result_id, "tries": row.tries, "reason": code}
    append(session, AuditEvent(action, actor, outcome, row.study_instance_uid, row.job_id, details))


def _note_standing(session: Session, receiver: str, answer: Answer) -> None:
    """A receiver that cannot be had is left alone for longer each time; one that answers is not."""
    if not answer.away:
        session.execute(_standing(receiver, failures=0, hold_until=func.now()))
        return
    failures = session.scalar(
        update(NotificationReceiverRow)
        .where(NotificationReceiverRow.name == receiver)
        .values(failures=NotificationReceiverRow.failures + 1)
        .returning(NotificationReceiverRow.failures)
    )
    wait = max(answer.wait_seconds, pause_seconds(failures or 1, _jitter()))
    session.execute(_standing(receiver, hold_until=_in(wait)))


def _standing(receiver: str, **values: Any) -> Any:  # noqa: ANN401 - columns
    return update(NotificationReceiverRow).where(NotificationReceiverRow.name == receiver).values(**values)


def _is(request: NotificationRequest) -> Any:  # noqa: ANN401 - a condition
    return (
        (NotificationRow.id == request.notification_id)
        & (NotificationRow.claim_uid == request.claim_uid)
        & (NotificationRow.state == str(NotificationState.SENDING))
    )


def _jitter() -> float:
    return random.random()  # noqa: S311 - spreads load, guards nothing


def _in(seconds: float) -> Any:  # noqa: ANN401 - an SQL expression
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)
