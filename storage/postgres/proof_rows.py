"""Proofs of arrival in rows: what is owed, what was asked, what was said; each change with its audit row."""

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, insert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditAction, AuditOutcome
from storage.domain.job import FINAL_STATES, JobState
from storage.domain.proof import (
    ABSENCES,
    MOST_RESENDS,
    ObjectAnswer,
    ProofEvent,
    ProofObject,
    ProofPolicy,
    ProofRequest,
    ProofState,
    ProofWay,
    ProofWish,
    Word,
)
from storage.ports.facts import Facts
from storage.postgres.engine import Database
from storage.postgres.facts import ask
from storage.postgres.proof_change import audit_proof, change_proof, give_up_proof, locked_proofs, not_wanted, prove
from storage.postgres.proof_ending import end_lost
from storage.postgres.proof_resend import DeliveryInHand, lock_deliveries, send_again
from storage.postgres.statement import statement
from storage.postgres.stored_text import stored_text
from storage.postgres.tables import CommitmentQuestionRow, DeliveryProofRow

_MOST_AT_ONCE = 100  # objects of one question
_QUERY_SECONDS = 600.0  # after which whoever asks by a query has died
_IN_HAND_SECONDS = 60.0  # until a delivery that is in hand has ended
_ACTOR = "prover"
_BATCH = 1_000  # proofs changed in one transaction, which holds the locks of their jobs and of the audit trail


class PostgresProofs:
    """Implements the port Proofs; every method may raise DatabaseUnavailable, and then nothing was changed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(
        self, destination: str, policy: ProofPolicy, ae_title: str, addresses: Sequence[str]
    ) -> ProofRequest | None:
        """Take what this destination is to be asked now, or ``None``; the request is durable before it is sent."""
        request_uid = f"2.25.{uuid.uuid4().int}"  # PS3.5 section B.2; 122 random bits, which nobody guesses
        with self._database.transaction() as session:
            _give_up_overdue(session, destination, policy)
            committing = policy.way is ProofWay.COMMITMENT
            asked = {
                "destination": destination,
                "way": str(policy.way),
                "request_uid": request_uid,
                "patience_seconds": policy.again_seconds if committing else _QUERY_SECONDS,
                "most": _MOST_AT_ONCE,
            }
            rows = session.execute(statement("claim_proofs"), asked).all()
            if not rows:
                return None
            objects = tuple(sorted((ProofObject(**row._mapping) for row in rows), key=lambda one: one.delivery_id))
            if committing:
                session.execute(
                    insert(CommitmentQuestionRow).values(
                        transaction_uid=request_uid,
                        destination=destination,
                        ae_title=ae_title,
                        addresses=list(addresses),
                        delivery_ids=[one.delivery_id for one in objects],
                    )
                )
        return ProofRequest(request_uid, destination, policy.way, objects)

    def settle(self, request: ProofRequest, policy: ProofPolicy, answers: Sequence[ObjectAnswer]) -> None:
        """Write what the destination said; objects it said nothing of stay asked until their answer is overdue."""
        words = {answer.sop_instance_uid: answer for answer in answers}
        delivery_ids = [one.delivery_id for one in request.objects]
        with self._database.transaction() as session:
            lock_deliveries(session, delivery_ids)
            for row in locked_proofs(session, delivery_ids):
                answer = words.get(row.sop_instance_uid)
                if answer is not None and row.request_uid == request.request_uid and row.state == ProofState.ASKED:
                    take_word(session, row, answer, policy)

    def give_up_left(self, proving: Sequence[str]) -> int:
        """Ask no more at destinations that are not among these; return at how many objects an operator has to look.

        So many at a time that no transaction is long: what was changed before the database went away stays changed.
        """
        given_up, after = 0, 0
        while True:
            with self._database.transaction() as session:
                asked = {"proving": list(proving), "after": after, "most": _BATCH}
                delivery_ids = list(session.scalars(statement("left_proofs"), asked))
                if not delivery_ids:
                    return given_up
                lock_deliveries(session, delivery_ids)  # first, as whoever settles a delivery does
                for row in locked_proofs(session, delivery_ids):
                    given_up += _give_up_left(session, row, proving)
            after = delivery_ids[-1]

    def arrivals(self, *, destination: str | None, unproven: bool, rows: int) -> list[Facts]:
        """The newest objects on their way to destinations and how far each is."""
        with self._database.transaction() as session:
            return ask(session, "arrivals", destination=destination, unproven=unproven, rows=rows)

    def reopen(self, destination: str, actor: str, wish: ProofWish) -> int:
        """Have everything asked again that nobody asks about any more; return how many objects.

        What the destination acknowledged before its proof was wanted is asked about too. So many at a time that no
        transaction is long: what was changed before the database went away stays changed.
        """
        reopened, after = 0, 0
        while True:
            with self._database.transaction() as session:
                asked = {"destination": destination, "after": after, "most": _BATCH}
                delivery_ids = list(session.scalars(statement("unasked_deliveries"), asked))
                if not delivery_ids:
                    return reopened
                reopened += _reopen(session, destination, delivery_ids, actor, wish)
            after = delivery_ids[-1]


def _reopen(session: Session, destination: str, delivery_ids: list[int], actor: str, wish: ProofWish) -> int:
    lock_deliveries(session, delivery_ids)
    known = locked_proofs(session, delivery_ids)
    # As it is now that it is locked: a report may have come late.
    again = [row for row in known if row.state == ProofState.UNPROVEN and row.delivery_state == "acknowledged"]
    for row in again:
        change_proof(session, row, ProofEvent.REOPEN, _afresh(0))
    never_asked = sorted(set(delivery_ids) - {row.delivery_id for row in known})
    for delivery_id in never_asked:
        owe_proof(session, delivery_id, destination, wish)
    for row in [*again, *locked_proofs(session, never_asked)]:
        audit_proof(session, row, AuditAction.DELIVERY_PROOF_REOPENED, AuditOutcome.SUCCESS, actor)
    return len(again) + len(never_asked)


def _give_up_left(session: Session, row: Any, proving: Sequence[str]) -> int:  # noqa: ANN401
    """Give up one proof that is left, as it is now that it is locked; 1 if so."""
    if row.state == ProofState.LOST and row.job_state in FINAL_STATES:
        end_lost(session, row.job_id, JobState(row.job_state), row.job_reason)
        return 1
    if row.state in (ProofState.OWED, ProofState.ASKED) and row.destination not in proving:
        give_up_proof(session, row, not_wanted(row), None)
        return 1
    return 0


def owe_proof(session: Session, delivery_id: int, destination: str, wish: ProofWish) -> None:
    """An object was acknowledged, for the first time or again: its destination is to be asked for it."""
    fresh = {"way": str(wish.way), "state": str(ProofState.OWED), **_afresh(wish.after_seconds)}
    session.execute(
        upsert(DeliveryProofRow)
        .values(delivery_id=delivery_id, destination=destination, **fresh)
        .on_conflict_do_update(index_elements=[DeliveryProofRow.delivery_id], set_=fresh)
    )


def _afresh(after_seconds: float) -> dict[str, Any]:
    return {
        "since": func.now(),
        "due_at": _in(after_seconds),
        "request_uid": None,
        "asks": 0,
        "absences": 0,
        "reason": None,
        "note": "",
        "proven_at": None,
    }


def _in(seconds: float) -> Any:  # noqa: ANN401 - an SQL expression
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def _give_up_overdue(session: Session, destination: str, policy: ProofPolicy) -> None:
    asked = {
        "destination": destination,
        "give_up_seconds": policy.give_up_hours * 3600,
        "most": _MOST_AT_ONCE,
    }
    for row in locked_proofs(session, session.scalars(statement("overdue_proofs"), asked).all()):
        give_up_proof(session, row, _too_long(row, row.note), row.reason)


def take_word(
    session: Session,
    row: Any,  # noqa: ANN401
    answer: ObjectAnswer,
    policy: ProofPolicy | None,
) -> None:
    """Change what is known of one object that was asked about.

    Without a ``policy`` it is asked again when its answer would have been overdue, as after a report of commitment.
    """
    absences = row.absences + 1 if answer.word is Word.ABSENT else 0
    lost = answer.word is Word.LOST or absences >= ABSENCES
    said = {"reason": answer.reason, "note": stored_text(answer.note), "absences": absences}
    if answer.word is Word.HELD:
        prove(session, row)
    elif answer.word is Word.OTHER:
        give_up_proof(session, row, answer.note, answer.reason)
    elif lost and row.losses >= MOST_RESENDS:
        give_up_proof(session, row, _lost_too_often(row), answer.reason)
    elif lost:
        _lose(session, row, said)
    elif policy is None:
        change_proof(session, row, ProofEvent.POSTPONE, said)
    elif row.age_seconds > policy.give_up_hours * 3600:
        give_up_proof(session, row, _too_long(row, answer.note), answer.reason)
    else:
        wait = min(policy.again_seconds, max(policy.after_seconds, 1.0) * 2 ** min(row.asks - 1, 20))
        change_proof(session, row, ProofEvent.POSTPONE, said | {"due_at": _in(wait)})


def _lose(session: Session, row: Any, said: dict[str, Any]) -> None:  # noqa: ANN401
    """The destination has it not: it is sent again, unless its delivery cannot be begun anew now or ever."""
    try:
        refusal = send_again(session, row.delivery_id, _ACTOR)
    except DeliveryInHand:
        if row.state != ProofState.ASKED:
            return  # it is asked about once that delivery has ended, or a worker sends it again already
        change_proof(session, row, ProofEvent.POSTPONE, said | {"due_at": _in(_IN_HAND_SECONDS)})
        return
    if refusal is not None:
        give_up_proof(session, row, f"{said['note']} {refusal}", said["reason"])
        return
    change_proof(session, row, ProofEvent.LOSE, said | {"losses": row.losses + 1, "absences": 0})
    audit_proof(
        session, row, AuditAction.DELIVERY_LOST, AuditOutcome.MINOR_FAILURE, reason=said["reason"], note=said["note"]
    )


def _too_long(row: Any, last: str) -> str:  # noqa: ANN401
    """Why it is asked no more; ``last`` is what its latest answer, or the lack of one, came to."""
    times = "once" if row.asks == 1 else f"{row.asks} times"
    told = f" The last try: {last}" if last else " It never answered."
    return (
        f"Overread tried {times} in {row.age_seconds / 3600:.0f} hours to learn whether destination {row.destination} "
        f"has the object, without a certain answer; look for it there, and have it asked again with "
        f"`overread deliveries prove`.{told}"
    )


def _lost_too_often(row: Any) -> str:  # noqa: ANN401
    return (
        f"Destination {row.destination} acknowledged the object {row.losses + 1} times and has it not; find out there "
        f"what removes it, then send it again with `overread jobs resubmit {row.job_id}`."
    )
