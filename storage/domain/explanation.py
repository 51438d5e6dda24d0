"""What happened to a study, in sentences made from the facts of `storage.postgres.overview`."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from storage.domain.feedback import feedback_sentences
from storage.domain.not_analysed import OTHER_KIND
from storage.domain.returned_object import RETURNED_SENTENCES, ReturnedOutcome

Facts = Mapping[str, Any]

_NO_REPORT = 'No "Not analysed" report was sent'

_STATES = {
    "receiving": "is still being received; it is looked at once no new instance has arrived for its quiet time",
    "queued": "is complete and waits for a worker",
    "analysing": "is being analysed",
    "delivering": "has been analysed, and its results are on their way",
    "done": "has been analysed, and its results are where they should be",
    "not-analysed": "was not analysed",
    "failed": "could not be dealt with",
    "parked": "is held back by a rule",
    "canceled": "was canceled by an operator",
}


def sentences(facts: Facts) -> Iterator[str]:
    """The whole story, one sentence a line, in the order in which things happened."""
    yield from _received(facts)
    yield from _fetches(facts)
    yield from _set_aside(facts)
    for revision in facts["revisions"]:
        yield f"It became complete (revision {revision['revision']}) at {_time(revision['stable_at'])}."
        for evidence in revision["evidence"]:
            what = "Decided by" if evidence["decisive"] else "Looked at beside it,"
            yield f"{what} {evidence['kind']}: {_sentence(evidence['sentence'])}"
        yield from revision["routes"]
        if revision["reason"]:
            yield _sentence(revision["reason"])
            yield f"{_NO_REPORT}, because no algorithm looked at it."
    yield from _waits_for(facts)
    yield from _priors(facts)
    for workitem in facts.get("workitems", ()):
        yield _asked(workitem)
    for job in facts["jobs"]:
        yield from _TELLERS[job["kind"]](job, facts)
    for message in facts.get("notifications", ()):
        yield _told(message)
    for one in facts.get("returned", ()):
        seen = RETURNED_SENTENCES[ReturnedOutcome(one["outcome"])]
        yield f"Instance {one['sop_instance_uid']} came back and was looked at, at {_time(one['looked_at'])}: {seen}."


_PURPOSES = {"context": "as context", "analysis": "to be analysed"}
_PRIORS = {"waiting": "will be asked for again", "done": "was asked", "given-up": "was asked in vain"}


def _fetches(facts: Facts) -> Iterator[str]:
    """Who had it fetched from where, and what came."""
    for fetch in facts.get("fetches", ()):
        came = "it has not been seen to end"
        if fetch["ended_at"] is not None:
            came = (
                f"{fetch['held']} of {_count(fetch['listed'], 'instance')} were here then, {fetch['new']} of them new"
            )
        why = f". {_sentence(fetch['reason'])}" if fetch["reason"] else "."
        yield (
            f"{fetch['asked_by']} had it fetched from {fetch['archive']} ({fetch['retrieve']}) "
            f"{_PURPOSES[fetch['purpose']]} at {_time(fetch['begun_at'])}; {came}{why}"
        )


def _priors(facts: Facts) -> Iterator[str]:
    """What its routes asked for."""
    for one in facts.get("priors", ()):
        kind = f" of {one['modality']}" if one["modality"] else ""
        told = f": {_sentence(one['note'])}" if one["note"] else "."
        if one["state"] == "waiting" and not one["attempt"]:
            yield f"Its route asks for priors{kind}; {one['archive']} has not been asked yet."
        else:
            yield f"Its route asks for priors{kind}; {one['archive']} {_PRIORS[one['state']]}{told}"


def _asked(workitem: Facts) -> str:
    """Who asked for what over the worklist, and what became of it."""
    what = f"an analysis by {workitem['algorithms']}" if workitem["algorithms"] else "work of others on it"
    why = f": {_sentence(workitem['reason'])}" if workitem["reason"] else "."
    return (
        f"Account {workitem['created_by']} asked for {what} at {_time(workitem['created_at'])}, with priority "
        f"{workitem['priority']}; workitem {workitem['sop_instance_uid']} is {workitem['state']}{why}"
    )


def shadow_sentences(facts: Facts) -> Iterator[str]:
    """What shadows, or runs of a cohort, made of the study; it was sent to nobody and is for no diagnosis."""
    of_shadow = {**facts, "results": facts["shadow_results"]}
    for job in facts["shadow_jobs"]:
        for sentence in _analysis(job, of_shadow):
            yield f"In shadow or for a cohort, told to nobody: {sentence}"


def _received(facts: Facts) -> Iterator[str]:
    study = facts["study"]
    if study is None:
        yield f"Nothing of {facts['uid']} was stored."
    else:
        modalities = "/".join(sorted({series["modality"] for series in facts["series"] if series["modality"]}))
        kind = f" ({modalities})" if modalities else ""
        state = _STATES[study["state"]]
        if study["state"] == "done" and not facts["deliveries"]:
            state = "has been analysed; no destination was configured then, so its results stay in storage"
        yield f"Study {facts['study_instance_uid']}{kind} {state}."
        if study["state"] == "parked":  # every other reason stands with its job or its revision below
            yield _sentence(study["error"])
    for association in facts["associations"]:
        web = association["door"] == "web"
        who = f"Account {association['account']}" if web else association["calling_ae_title"]
        yield (
            f"{who} at {association['remote_address']} sent "
            f"{_count(association['instances'], 'instance')} of it, from {_time(association['started_at'])}; "
            f"the {'web request' if web else 'association'} {_ended(association)}."
        )
    instance = facts["instance"]
    if instance is not None:
        yield (
            f"Instance {instance['sop_instance_uid']} has {instance['size']} bytes with SHA-256 "
            f"{instance['sha256']}, as received at {_time(instance['received_at'])}."
        )


def _waits_for(facts: Facts) -> Iterator[str]:
    """Why what arrived since the newest revision is not looked at yet."""
    for evidence in facts["waiting"]:
        what = "It is waited for more because of" if evidence["decisive"] else "Looked at beside it,"
        yield f"{what} {evidence['kind']}: {_sentence(evidence['sentence'])}"


def _ended(association: Facts) -> str:
    if association["end"] == "open":
        return "has not been seen to end"
    if association["end"] == "aborted":
        return "was aborted"
    return f"was {association['end']}"


def _set_aside(facts: Facts) -> Iterator[str]:
    for thing in facts["quarantined"]:
        name = f"instance {thing['sop_instance_uid']}" if thing["sop_instance_uid"] else "an object without a valid UID"
        yield f"Set aside as {thing['reason_code']}: {name}. {thing['error']}"
    for rule, reason in sorted({(thing["excluded_rule"], thing["reason"]) for thing in facts["excluded"]}):
        number = sum(thing["excluded_rule"] == rule for thing in facts["excluded"])
        yield f"{_count(number, 'instance')} did not count ({rule}): {_sentence(reason)}"


def _inference(job: Facts, facts: Facts) -> Iterator[str]:
    yield from _analysis(job, facts)
    yield from _not_told(job, facts)


def _analysis(job: Facts, facts: Facts) -> Iterator[str]:
    name, again = job["algorithm"], f" (doing job {job['predecessor_id']} again)" if job["predecessor_id"] else ""
    if job["priority_because"]:
        yield f"{name} has the priority {job['priority']} here: {_sentence(job['priority_because'])}"
    if job["outcome"] == "analysed":
        for result in facts["results"]:
            if result["job_id"] == job["id"]:
                yield (
                    f"{name}{again} {examined(result)} of series "
                    f"{result['series_instance_uid']} in attempt {job['attempt']} on {result['execution_provider']}; "
                    f"its model file has SHA-256 {result['artifact_sha256']}."
                )
                if result["findings"]:
                    yield from reported(result["report_text"])
                yield from _succession(result, facts)
                yield from feedback_sentences(result, facts.get("feedback", ()))
    elif job["outcome"] == "not-analysed":
        yield f"{name}{again} did not analyse it ({job['reason_code']}): {_sentence(job['reason'])}"
    else:
        yield _unfinished(job, f"{name}{again}")
    for refusal in job["refusals"]:
        yield f"Series {refusal['series_instance_uid']} ({refusal['code']}): {_sentence(refusal['sentence'])}"


def _succession(result: Facts, facts: Facts) -> Iterator[str]:
    """What the result follows, and what it was superseded by; nothing where there is only one."""
    for earlier in facts["results"]:
        if earlier["result_id"] == result["predecessor_id"]:
            yield f"Its predecessor is the result of job {earlier['job_id']} on revision {earlier['revision']}."
    if result["superseded_by"]:
        yield f"It is {superseded(result)}, which looked at other images."


def superseded(result: Facts) -> str:
    """By what a result was superseded: ``superseded by the result of job 7 on revision 2``; empty if it counts."""
    newer = result["superseded_by"]
    return f"superseded by the result of job {newer['job_id']} on revision {newer['revision']}" if newer else ""


def examined(result: Facts) -> str:
    """What the algorithm looked at: ``analysed 256 instances``, or ``examined 1 of 256 images (instance 1.2.3)``."""
    for finding in result["findings"]:
        one = finding.get("classification")
        if one and one["images_examined"] < one["images"]:
            scored = not finding.get("detection") or finding["detection"]["candidates"]
            frame = f", frame {one['key_frame_number']}" if one.get("key_frame_number") else ""
            alone = one["images_examined"] == 1 and scored
            which = f" (instance {one['key_sop_instance_uid']}{frame})" if alone else ""
            return f"examined {one['images_examined']} of {_count(one['images'], 'image')}{which}"
    return f"analysed {_count(result['inputs'], 'instance')}"


def _not_told(job: Facts, facts: Facts) -> Iterator[str]:
    """Why nobody was sent a report on an inference that ended without a result; nothing if there was to be one."""
    ended = job["outcome"] == "not-analysed" or job["state"] in ("failed", "canceled")
    if not ended or any(other["about_id"] == job["id"] for other in facts["jobs"]):
        return
    if job["state"] == "canceled":
        yield f"{_NO_REPORT}, because an operator canceled the analysis."
    elif job["state"] == "completed" and all(refusal["code"] in OTHER_KIND for refusal in job["refusals"]):
        yield (
            f"{_NO_REPORT}, because no series is an image series of a modality that {job['algorithm']} takes; "
            'with [jobs] not_analysed = "always" one is sent then too.'
        )
    else:
        yield f'{_NO_REPORT}, because [jobs] not_analysed was "never" when it ended, or that release made none yet.'


def reported(report_text: str) -> Iterator[str]:
    """The findings in the report's words: its third paragraph, where an indented line belongs to the one above."""
    told: list[list[str]] = []
    for line in "".join(report_text.split("\n\n")[2:3]).splitlines():
        words = " ".join(line.split())
        if line.startswith(" ") and told:
            told[-1].append(words)
        else:
            told.append([words])
    for heading, *rest in told:
        yield f"It reports {heading}{'; ' if ':' in heading and rest else ': ' if rest else ''}{'; '.join(rest)}."


def _unfinished(job: Facts, what: str) -> str:
    because = f" ({job['reason_code']}): {_sentence(job['reason'])}" if job["reason"] else "."
    if job["state"] == "failed":
        return f"{what} was given up after {_count(job['attempt'], 'attempt')}{because}"
    if job["state"] == "canceled":
        return f"{what} was canceled{because}"
    if job["state"] == "in_progress":
        return f"{what} is in the hands of {job['worker']}, attempt {job['attempt']}."
    if job["attempt"]:
        return f"{what} is tried again at {_time(job['due_at'])}, after {_count(job['attempt'], 'attempt')}{because}"
    return f"{what} waits for a worker since {_time(job['due_at'])}."


def _notice(job: Facts, facts: Facts) -> Iterator[str]:
    what = f'The "Not analysed" report of {job["algorithm"]}'
    if job["state"] != "completed":
        yield _unfinished(job, what)
    elif job["reason"]:
        yield f"{what} was not made ({job['reason_code']}): {_sentence(job['reason'])}"
    else:
        owed = any(result["job_id"] == job["about_id"] and _is_owed(result, facts) for result in facts["results"])
        where = "for the destinations" if owed else "and stays here, because no destination was configured then"
        yield f"{what} was made {where}."


def _is_owed(result: Facts, facts: Facts) -> bool:
    uids = {one["sop_instance_uid"] for one in result["evidence"]}
    return any(delivery["sop_instance_uid"] in uids for delivery in facts["deliveries"])


def _delivery(job: Facts, facts: Facts) -> Iterator[str]:
    for delivery in facts["deliveries"]:
        if delivery["job_id"] != job["id"]:
            continue
        kind = f"{delivery['form']} object" if delivery["analysed"] else f"not-analysed report ({delivery['form']})"
        what = f"The {kind} {delivery['sop_instance_uid']} of {delivery['algorithm']}"
        if delivery["state"] == "acknowledged":
            status = "no status" if delivery["status"] is None else f"status 0x{delivery['status']:04X}"
            when = _time(delivery["acknowledged_at"])
            yield f"{what} was acknowledged by {delivery['destination']} at {when} ({status})."
            yield from _proof(delivery)
        elif delivery["state"] == "waiting" and delivery["proof_state"] == "lost":
            why = _sentence(delivery["proof_note"])
            yield f"{what} was acknowledged by {delivery['destination']} and is sent again: {why}"
        elif delivery["state"] == "refused":
            yield f"{what} was refused by {delivery['destination']}: {_sentence(delivery['note'])}"
        elif delivery["proof_state"] == "unproven":
            yield f"{what} is not proven to be at {delivery['destination']}: {_sentence(delivery['proof_note'])}"
    yield from not_needed([delivery for delivery in facts["deliveries"] if delivery["job_id"] == job["id"]])
    if job["state"] != "completed":
        made_by = next(
            (f" of what {one['algorithm']} made" for one in facts["deliveries"] if one["job_id"] == job["id"]), ""
        )
        yield _unfinished(job, f"The delivery{made_by} to {job['destination']}")
        if job["state"] == "scheduled":
            yield from _pause(job["destination"], facts)


def _pause(destination: str, facts: Facts) -> Iterator[str]:
    """Why it is not tried now; nothing while deliveries to the destination flow."""
    for lane in facts.get("paused", ()):
        if lane["destination"] == destination:
            since, until = _time(lane["paused_at"]), _time(lane["probe_at"])
            yield (
                f"Deliveries to {destination} have been paused since {since}, and it is asked at {until} whether it is "
                f"there again: {_sentence(lane['note'])}"
            )


def _proof(delivery: Facts) -> Iterator[str]:
    """What is known beyond the acknowledgement; nothing where nobody is to ask."""
    state, place = delivery["proof_state"], delivery["destination"]
    if delivery["losses"]:
        yield f"{place} had lost it, so it was sent again ({_count(delivery['losses'], 'time')})."
    if state == "proven":
        how = "committed to keeping it" if delivery["proof_way"] == "commitment" else "found it when it was asked"
        yield f"{place} {how} at {_time(delivery['proven_at'])}."
    elif state == "unproven":
        yield f"That it arrived is not proven: {_sentence(delivery['proof_note'])}"
    elif state is not None:
        said = f" so far: {_sentence(delivery['proof_note'])}" if delivery["proof_note"] else "."
        yield f"That it arrived is not proven yet; {place} was asked {_count(delivery['proof_asks'], 'time')}{said}"


def not_needed(deliveries: Iterable[Facts]) -> Iterator[str]:
    """One line for each destination with the forms that it needed none of; nothing where it needed all."""
    forms: dict[str, list[str]] = {}
    for delivery in deliveries:
        if delivery["state"] == "not-needed":
            forms.setdefault(delivery["destination"], []).append(delivery["form"])
    for destination, found in forms.items():
        each = (f"{form} ({found.count(form)})" if found.count(form) > 1 else form for form in dict.fromkeys(found))
        yield f"Not needed at {destination}, or not shown there: {', '.join(each)}."


def _told(message: Facts) -> str:
    """What became of one message to a receiver of notifications."""
    receiver, state = message["receiver"], message["state"]
    what = f"of the result of {message['algorithm']} (job {message['job_id']})"
    because = f" ({message['reason_code']}): {_sentence(message['why'])}" if message["why"] else "."
    if state == "delivered":
        return f"Receiver {receiver} was told {what} at {_time(message['delivered_at'])}."
    if state == "held":
        return f"Receiver {receiver} is told {what} once its report is at a destination."
    if state in ("refused", "given-up"):
        ended = "refused to be told" if state == "refused" else "was not told"
        return f"Receiver {receiver} {ended} {what}{because}"
    if message["tries"]:
        return f"Receiver {receiver} is told {what} at {_time(message['due_at'])} again{because}"
    return f"Receiver {receiver} is about to be told {what}."


_TELLERS = {"inference": _inference, "delivery": _delivery, "notice": _notice}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _time(iso: str | None) -> str:
    return f"{iso[:10]} {iso[11:19]}Z" if iso else "an unknown time"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
