"""Studies: the list, and everything about one of them."""

import time
from collections import OrderedDict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import FileResponse, RedirectResponse

from listener.web.access import Permission, Principal, require
from listener.web.login import LIVE_HEADER, address_of
from listener.web.pages.desk import SUMMARY_DAYS, Desk
from listener.web.pages.feedback_pages import judged
from listener.web.pages.forms import checked_form
from listener.web.pages.live import live_region
from listener.web.pages.rendering import render
from storage.domain.audit_event import AuditAction, AuditEvent
from storage.domain.delivery import DeliveryState, how_far
from storage.domain.explanation import examined, not_needed, sentences, shadow_sentences, superseded
from storage.domain.feedback import SOURCE_WORDS, VERDICT_WORDS
from storage.domain.identifiers import checked_uid
from storage.domain.job import JobKind
from storage.domain.study import StudyState
from storage.errors import InvalidIdentifier, UnknownRecord
from storage.ports.facts import Facts

_ROWS = 50
_LONGEST_SEARCH = 64
_LOOK_SECONDS = 15 * 60.0  # pictures fetched this long after their page belong to the look that the page recorded
_LOOKS_KEPT = 10_000

# States that a study can end in without a result, and what stands in the place of the time when it was analysed.
_ENDED_WITHOUT = {
    StudyState.NOT_ANALYSED: "nothing to analyse",
    StudyState.FAILED: "given up",
    StudyState.CANCELED: "canceled by an operator",
}

Viewer = Annotated[Principal, Depends(require(Permission.VIEW_STUDIES))]
Period = Literal["1", "7", "30", "all"]


def study_router(desk: Desk) -> APIRouter:
    """``/studies`` and what is below."""
    router = APIRouter(include_in_schema=False)
    looks = _Looks(desk)

    @router.get("/studies")
    def listed(
        request: Request,
        viewer: Viewer,
        state: StudyState | Literal[""] = "",
        days: Period = "7",
        before: str = "",
    ) -> Response:
        """Studies, newest first, a page at a time."""
        live = live_region(desk)
        rows = desk.reading.studies(
            state=state or None,
            days=None if days == "all" else int(days),
            before=_cursor(before),
            rows=_ROWS + 1,
        )
        return render(
            request,
            "studies.html",
            live=live,
            studies=rows[:_ROWS],
            older=_cursor_of(rows[_ROWS - 1]) if len(rows) > _ROWS else "",
            state=state,
            states=list(StudyState),
            days=days,
            first_page=not before,
            summary_days=SUMMARY_DAYS,
        )

    # By POST, so that an accession number never stands in an address, which browsers and proxies write down.
    @router.post("/studies", dependencies=[Depends(checked_form)])
    def search(request: Request, viewer: Viewer, wanted: Annotated[str, Form()] = "") -> Response:
        """The study with a UID, or the studies with an accession number."""
        wanted = wanted.strip()[:_LONGEST_SEARCH]
        study_instance_uid = _study_of(desk, wanted)
        if study_instance_uid:
            return RedirectResponse(f"/studies/{study_instance_uid}", 303)
        found = (
            desk.reading.studies(state=None, days=None, before=None, rows=_ROWS, accession_number=wanted)
            if wanted
            else []
        )
        desk.trail.record(
            AuditEvent(
                AuditAction.STUDIES_QUERIED,
                viewer.name,
                details={"by": "accession-number", "found": len(found), "address": address_of(request)},
            )
        )
        return render(request, "search.html", studies=found, wanted=wanted)

    @router.get("/studies/{study_instance_uid}")
    def shown(request: Request, viewer: Viewer, study_instance_uid: str) -> Response:
        """One study's way through, its report and its pictures."""
        live = live_region(desk, checked_uid(study_instance_uid, "The address"))
        facts = desk.explainer.explain(study_instance_uid)
        uid = facts["study_instance_uid"]
        looks.record(request, viewer, uid, "page")
        newest, older = _by_age(facts["results"])
        # Who reads images must not take what is being tried out for a finding.
        operates = viewer.may(Permission.OPERATE_JOBS)
        return render(
            request,
            "study.html",
            live=live,
            facts=facts,
            identity=desk.reading.identity(uid) if facts["study"] else None,
            steps=_steps(facts),
            sentences=list(sentences(facts)),
            links=desk.links.of(uid, facts["results"]) if facts["study"] else [],
            results=newest + older,
            newest=len(newest),
            not_needed=_not_needed(facts),
            judged=judged(facts),
            source_words=SOURCE_WORDS,
            verdict_words=VERDICT_WORDS,
            examined=examined,
            superseded=superseded,
            how_far=how_far,
            shadow=list(shadow_sentences(facts)) if operates else [],
            jobs=desk.reading.jobs(study_instance_uid=uid, shadow=None if operates else False, rows=200) if uid else [],
        )

    @router.get("/studies/{study_instance_uid}/pictures/{sha256}")
    def picture(request: Request, viewer: Viewer, study_instance_uid: str, sha256: str) -> Response:
        """A picture of a result, as it was frozen."""
        uid = checked_uid(study_instance_uid, "The address")
        facts = desk.explainer.explain(uid)
        known = {picture["sha256"] for result in facts["results"] for picture in result.get("pictures") or []}
        path = desk.evidence.evidence(sha256) if sha256 in known else None
        if path is None or not path.is_file():
            raise UnknownRecord("There is no such picture.")
        looks.record_unless_recent(request, viewer, facts["study_instance_uid"])
        return FileResponse(path, media_type="image/png")

    return router


class _Looks:
    """Writes the audit row of each look at a study before anything of it is shown."""

    def __init__(self, desk: Desk) -> None:
        self._trail = desk.trail
        self._pages: OrderedDict[tuple[str, str], float] = OrderedDict()

    def record(self, request: Request, viewer: Principal, study_instance_uid: str, what: str) -> None:
        """Somebody looks at a study now."""
        details: dict[str, str | int | float | None] = {"what": what, "address": address_of(request)}
        if LIVE_HEADER in request.headers:
            details["live"] = 1  # the open page brought itself up to date
        self._trail.record(
            AuditEvent(AuditAction.STUDY_VIEWED, viewer.name, study_instance_uid=study_instance_uid, details=details)
        )
        self._pages[viewer.name, study_instance_uid] = time.monotonic()
        self._pages.move_to_end((viewer.name, study_instance_uid))
        while len(self._pages) > _LOOKS_KEPT:
            self._pages.popitem(last=False)

    def record_unless_recent(self, request: Request, viewer: Principal, study_instance_uid: str) -> None:
        """A picture opened by its own address is a look of its own; one within its page is not."""
        seen = self._pages.get((viewer.name, study_instance_uid))
        if seen is None or time.monotonic() - seen > _LOOK_SECONDS:
            self.record(request, viewer, study_instance_uid, "picture")


def _by_age(results: list[Facts]) -> tuple[list[Facts], list[Facts]]:
    """The newest run of each algorithm, whatever its version, and the runs before it; each newest first.

    A run on an earlier revision is older whenever it ended.
    """
    newest: dict[str, Facts] = {}
    older = []
    for result in sorted(results, key=lambda one: (one["revision"], one["result_id"]), reverse=True):
        if result["algorithm_name"] in newest:
            older.append(result)
        else:
            newest[result["algorithm_name"]] = result
    return list(newest.values()), older


def _not_needed(facts: Facts) -> dict[int, list[str]]:
    """By the id of a result, a line for each destination that did not need all of it."""
    return {
        result["result_id"]: list(
            not_needed(one for one in facts["deliveries"] if one["result_id"] == result["result_id"])
        )
        for result in facts["results"]
    }


def _study_of(desk: Desk, wanted: str) -> str:
    try:
        return desk.reading.study_of(checked_uid(wanted, "The search"))
    except (InvalidIdentifier, UnknownRecord):
        return ""


def _cursor(text: str) -> tuple[datetime, str] | None:
    """Where a page begins, from its address; anything else begins at the top."""
    moment, _, uid = text.partition(" ")
    try:
        time_part = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return (time_part, uid) if uid and time_part.tzinfo else None


def _cursor_of(row: Facts) -> str:
    return f"{row['last_received_at']} {row['study_instance_uid']}"


def _steps(facts: Facts) -> list[dict[str, Any]]:
    """Received, complete, analysed, delivered: each with its time, or what it waits for."""
    study = facts["study"]
    if study is None:
        return []
    associations = facts["associations"]
    senders = sorted({association["account"] or association["calling_ae_title"] for association in associations})
    images = "1 image" if study["instances"] == 1 else f"{study['instances']} images"
    received = images + (f" from {', '.join(senders)}" if senders else "")
    waiting = {
        "receiving": ("complete", "waiting until no more images come"),
        "queued": ("analysed", "waiting for a worker"),
        "analysing": ("analysed", "being analysed now"),
        "delivering": ("delivered", "being delivered now"),
    }.get(study["state"], ("", ""))
    steps = [
        {"name": "received", "at": study["last_received_at"], "note": received},
        {"name": "complete", "at": study["stable_at"], "note": f"revision {study['revision']}"},
        _analysed_step(facts),
        {"name": "delivered", "at": study["delivered_at"], "note": _destinations(facts), "open": _undelivered(facts)},
    ]
    for step in steps:
        step["now"] = step["name"] == waiting[0]
        if step["now"]:
            step["note"] = waiting[1]
    return steps


def _analysed_step(facts: Facts) -> dict[str, Any]:
    """Analysed, and by what; or that it ended without a result."""
    study = facts["study"]
    if study["state"] not in _ENDED_WITHOUT or _is_analysed(facts):
        return {"name": "analysed", "at": study["inferred_at"], "note": _algorithms(facts)}
    refused = study["state"] == StudyState.NOT_ANALYSED
    return {
        "name": "not analysed",
        "at": (study["inferred_at"] or study["stable_at"]) if refused else None,
        "note": "",
        "open": _ENDED_WITHOUT[study["state"]],
        "ended": True,
    }


def _is_analysed(facts: Facts) -> bool:
    revision = facts["study"]["revision"]
    return any(job["outcome"] == "analysed" and job["revision"] == revision for job in facts["jobs"])


def _undelivered(facts: Facts) -> str:
    """What stands in the place of the time of delivery."""
    state = facts["study"]["state"]
    if state == StudyState.DONE and facts["deliveries"]:
        return _destinations(facts) or "not yet"
    if state == StudyState.DONE:
        return "stays here: no destination was configured"
    if state not in _ENDED_WITHOUT:
        return "not yet"
    if facts["deliveries"]:
        under_way = any(
            job["kind"] == JobKind.DELIVERY and job["state"] in ("scheduled", "in_progress") for job in facts["jobs"]
        )
        return "not yet" if under_way else _destinations(facts) or "given up"
    if any(job["kind"] == JobKind.NOTICE and job["state"] in ("scheduled", "in_progress") for job in facts["jobs"]):
        return "not yet"
    return "stays here: no destination was configured" if facts["results"] else "nothing to deliver"


def _algorithms(facts: Facts) -> str:
    return ", ".join(
        sorted({f"{one['algorithm_name']} {one['algorithm_version']}" for one in facts["results"] if one["analysed"]})
    )


def _destinations(facts: Facts) -> str:
    """Who took something of the newest revision; who shows nothing of it took nothing."""
    newest = {job["id"] for job in facts["jobs"] if job["revision"] == facts["study"]["revision"]}
    states: dict[str, set[str]] = {}
    for delivery in facts["deliveries"]:
        if delivery["job_id"] in newest:
            states.setdefault(delivery["destination"], set()).add(delivery["state"])
    took = sorted(name for name, found in states.items() if DeliveryState.ACKNOWLEDGED in found)
    shows_nothing = sorted(name for name, found in states.items() if found == {DeliveryState.NOT_NEEDED})
    told = [", ".join(took)] if took else []
    if shows_nothing:
        told.append(f"nothing of it is shown at {', '.join(shows_nothing)}")
    return "; ".join(told)
