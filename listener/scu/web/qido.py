"""Search an archive over the web (QIDO-RS as user agent, PS3.18 section 10.6): for an instance, for a study's count."""

from typing import NamedTuple
from urllib.parse import quote

from listener.scu.instance_query import Found, Sought
from listener.scu.verdict import NoAnswer
from listener.scu.web.access import Caller
from listener.scu.web.answer import without_reply
from listener.scu.web.dicom_json import DataSet, data_sets, number, text
from listener.scu.web.line import NoReply, Unanswered

_MOST_ANSWER_BYTES = 1 << 20
_STUDY, _SOP_CLASS, _SOP_INSTANCE, _INSTANCES = "0020000D", "00080016", "00080018", "00201208"
_MOST_INSTANCES = 2**31 - 1


class SearchRule(NamedTuple):
    """What every HTTP status from ``first`` to ``last`` that gives no list means, in words for an operator."""

    first: int
    last: int
    note: str


# The first row that holds the status decides; 200 and 204 are answers.
SEARCH_RULES: tuple[SearchRule, ...] = (
    SearchRule(300, 399, "The destination redirects our search (3xx), which is not followed; correct url."),
    SearchRule(
        401,
        401,
        "The destination does not accept our credentials for a search, or wants some (401); correct its "
        "[[destinations]] entry.",
    ),
    SearchRule(403, 403, "The destination does not let us search (403); allow it there."),
    SearchRule(404, 405, "The destination has no QIDO-RS at its url (404 or 405); correct url, or enable it there."),
    SearchRule(400, 499, "The destination refused the search (4xx); look into its log."),
    SearchRule(500, 599, "The destination failed at the search, or what stands before it did (5xx)."),
    SearchRule(0, 999, "The destination answered the search with a status that QIDO-RS does not have; check url."),
)
_UNREADABLE = "The destination answered the search with what is no DICOM JSON, or with too much of it; check url."
_NOT_FILTERED = "The destination does not search by SOP Instance UID; ask its vendor why."
_NO_NUMBER = "Its answer has no Number of Study Related Instances (0020,1208)."


class SearchFailed(Exception):
    """A search came to nothing; ``note`` is one sentence for an operator."""

    def __init__(self, note: str, over: bool = False) -> None:
        """``over``: the next question would fare no better."""
        self.note = note
        self.over = over
        super().__init__()


def look_up(caller: Caller, url: str, study_instance_uid: str, one: Sought) -> Found:
    """Look for one instance in its series.

    Raises:
        SearchFailed: the destination did not answer, or refused.
    """
    series = f"{_studies(url)}/{quote(study_instance_uid)}/series/{quote(one.series_instance_uid)}"
    found = _searched(caller, f"{series}/instances?SOPInstanceUID={quote(one.sop_instance_uid)}")
    if found is None:  # no such study or series, to some servers; or no QIDO-RS at all
        if _searched(caller, f"{_studies(url)}?StudyInstanceUID={quote(study_instance_uid)}") is None:
            raise SearchFailed(_rule(404).note, over=True)
        return Found.NOT_FOUND
    same = [each for each in found if text(each, _SOP_INSTANCE) == one.sop_instance_uid]
    if not same:
        if found:  # whatever it would say on a further page
            raise SearchFailed(_NOT_FILTERED)
        return Found.NOT_FOUND
    # Who leaves the class out has not said otherwise.
    return Found.FOUND if text(same[0], _SOP_CLASS) in ("", one.sop_class_uid) else Found.OTHER_CLASS


def count_of(caller: Caller, url: str, study_instance_uid: str) -> int:
    """How many instances it has of a study, 0 if it does not know it.

    Raises:
        SearchFailed: the destination did not answer, refused, or does not say.
    """
    query = f"StudyInstanceUID={quote(study_instance_uid)}&includefield={_INSTANCES}"
    found = _searched(caller, f"{_studies(url)}?{query}")
    if found is None:
        raise SearchFailed(_rule(404).note, over=True)
    same = [number(each, _INSTANCES, _MOST_INSTANCES) for each in found if text(each, _STUDY) == study_instance_uid]
    if None in same or (found and not same):
        raise SearchFailed(_NO_NUMBER)
    return max((count for count in same if count is not None), default=0)


def _searched(caller: Caller, address: str) -> list[DataSet] | None:
    """What matches; ``None`` where the answer is 404."""
    try:
        reply = caller.ask("GET", address, {"Accept": "application/dicom+json"}, most_bytes=_MOST_ANSWER_BYTES)
    except Unanswered as unanswered:
        over = isinstance(unanswered.why, NoAnswer) or unanswered.why not in (NoReply.BROKEN, NoReply.TOO_SLOW)
        raise SearchFailed(without_reply(unanswered.why).note, over) from None
    if reply.status == 204:
        return []
    if reply.status == 404:
        return None
    if reply.status != 200:
        raise SearchFailed(_rule(reply.status).note, over=True)
    found = data_sets(reply.body)
    if found is None:
        raise SearchFailed(_UNREADABLE, over=True)
    return found


def _rule(status: int) -> SearchRule:
    return next(rule for rule in SEARCH_RULES if rule.first <= status <= rule.last)


def _studies(url: str) -> str:
    return f"{url.rstrip('/')}/studies"
