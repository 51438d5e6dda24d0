"""What an operator should look at, each kind of it once, from the facts of `storage.postgres.overview`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from storage.domain.delivery import SETTLED
from storage.domain.not_analysed import OTHER_KIND

Facts = Mapping[str, Any]

_UNFINISHED = {"failed": "given up", "scheduled": "tried again"}
_STUCK = "Its worker fell silent and nobody takes the job back; start `overread housekeep`."
_TOLD = {"inference": "analysis by {}", "notice": '"Not analysed" report of {}', "delivery": "delivery to {}"}


@dataclass(frozen=True, slots=True)
class OpenTrouble:
    """So many things that are alike: what they are, and the sentence of the newest of them."""

    what: str
    count: int
    sentence: str
    newest_at: str | None


@dataclass(frozen=True, slots=True)
class _Case:
    kind: tuple[str, ...]
    what: str
    sentence: str
    at: str | None


def open_trouble(facts: Facts) -> list[OpenTrouble]:
    """Each kind of trouble that nobody has dealt with yet, the one with the newest case first.

    ``facts`` are those of ``Overview.status()``. What was done again, by the same version of an algorithm or by another
    one, what an operator canceled and what belongs to an earlier state of a study is left out, and so are series that
    were never for an algorithm.
    """
    kinds: dict[tuple[str, ...], list[_Case]] = {}
    tellers = (_parked, _of_jobs, _of_deliveries, _unproven, _paused, _untold, _set_aside)
    for case in (case for told in tellers for case in told(facts)):
        kinds.setdefault(case.kind, []).append(case)
    troubles = []
    for cases in kinds.values():
        newest = max(cases, key=lambda case: case.at or "")
        troubles.append(OpenTrouble(newest.what, len(cases), newest.sentence, newest.at))
    return sorted(troubles, key=lambda trouble: trouble.newest_at or "", reverse=True)


def _parked(facts: Facts) -> Iterator[_Case]:
    for study in facts["studies"]:
        if study["state"] == "parked":
            yield _Case(
                ("parked", study["reason_code"]), "study held back", study["error"] or "", study["last_received_at"]
            )


def _of_jobs(facts: Facts) -> Iterator[_Case]:
    """Analyses and reports, and any job of a worker that vanished; what was not delivered is told object by object."""
    now = {study["study_instance_uid"]: study["revision"] for study in facts["studies"]}
    done_again = _done_again(facts)
    for job in facts["jobs"]:
        if job.get("stuck"):
            what = _TOLD[job["kind"]].format(job["destination"] or job["algorithm"])
            yield _Case(("stuck", job["kind"]), f"{what} without a worker", _STUCK, job["lease_expires_at"])
            continue
        if job.get("of_cohort"):  # its cohort tells
            continue
        outdated = job["revision"] != now.get(job["study_instance_uid"], job["revision"])
        if done_again & {job["id"], job.get("about_id")} or outdated or job["kind"] == "delivery":
            continue
        what, at = _named(job), job["finished_at"] or job["started_at"] or job["scheduled_at"]
        if job["state"] in _UNFINISHED and job["reason"]:
            kind = (job["kind"], job["algorithm"], job["state"], job["reason_code"])
            yield _Case(kind, f"{what} {_UNFINISHED[job['state']]}", job["reason"], at)
        elif job["outcome"] == "not-analysed":
            yield from _refusals(job, f"{what}: not analysed", at)


def _done_again(facts: Facts) -> set[int]:
    """The jobs that have a successor, and the analyses after which another version was given the same study.

    As with a successor it does not matter how the later one ends: it has trouble of its own then. A version in shadow
    takes the place of no other one's work, but what is done for real takes that of a shadow.
    """
    done: set[int] = {job["predecessor_id"] for job in facts["jobs"] if job["predecessor_id"] is not None}
    latest: dict[tuple[str, int, str, bool], int] = {}
    analyses = [job for job in facts["jobs"] if job["kind"] == "inference"]
    for job in sorted(analyses, key=lambda one: int(one["id"]), reverse=True):
        work = job["study_instance_uid"], job["revision"], job["algorithm_name"]
        if latest.get((*work, False), 0) > job["id"] or (job["shadow"] and latest.get((*work, True), 0) > job["id"]):
            done.add(job["id"])
        latest.setdefault((*work, job["shadow"]), job["id"])
    return done


def _named(job: Facts) -> str:
    return _TOLD[job["kind"]].format(job["algorithm"]) + (" (shadow)" if job["shadow"] else "")


def _refusals(job: Facts, what: str, at: str | None) -> Iterator[_Case]:
    """Each reason for which a series of the kind that the algorithm takes was refused, in one study once."""
    codes = {refusal["code"]: refusal["sentence"] for refusal in job["refusals"]}
    told = codes or {job["reason_code"]: job["reason"]}
    for code, sentence in told.items():
        if code not in OTHER_KIND:
            yield _Case(("not-analysed", job["algorithm"], code), what, sentence or "", at)


def _of_deliveries(facts: Facts) -> Iterator[_Case]:
    jobs = {job["id"]: job for job in facts["jobs"]}
    done_again = {job["predecessor_id"] for job in facts["jobs"]}
    for one in facts["deliveries"]:
        job = jobs.get(one["job_id"])
        if job is None or job["id"] in done_again or job["state"] == "canceled" or not one["error"]:
            continue
        if one["state"] == "refused":
            what = "refused"
        elif one["state"] == "waiting":
            what = _UNFINISHED.get(job["state"], "tried again")
        else:
            continue
        at = job["finished_at"] or job["started_at"] or job["scheduled_at"]
        kind = ("delivery", one["destination"], what, one["error"])
        yield _Case(kind, f"object for {one['destination']} {what}", one["error"], at)


def _unproven(facts: Facts) -> Iterator[_Case]:
    """What was acknowledged, and nobody asks any more whether it is there, or was lost and is not sent again."""
    for one in facts["deliveries"]:
        if one["state"] in SETTLED and one.get("proof_state") == "unproven":
            what = f"object not proven to be at {one['destination']}"
            yield _Case(("unproven", one["destination"]), what, one["proof_note"], one["acknowledged_at"])


def _paused(facts: Facts) -> Iterator[_Case]:
    """What waits for a destination that does not answer is one trouble, however much it is."""
    for lane in facts["paused"]:
        name = lane["destination"]
        yield _Case(("paused", name), f"deliveries to {name} paused", lane["note"], lane["paused_at"])


def _untold(facts: Facts) -> Iterator[_Case]:
    """What a receiver has not taken although it was tried."""
    for one in facts.get("notifications", ()):
        if one["why"]:
            what = {"refused": "refused", "given-up": "given up"}.get(one["state"], "tried again")
            kind = ("notification", one["receiver"], what, one["reason_code"])
            yield _Case(kind, f"message to {one['receiver']} {what}", one["why"], one["noted_at"])


def _set_aside(facts: Facts) -> Iterator[_Case]:
    for thing in facts["quarantined"]:
        yield _Case(("set-aside", thing["reason_code"]), "object set aside", thing["error"], thing["received_at"])
