"""Send frozen evidence to a destination over the web (STOW-RS as user agent, PS3.18 section 10.5)."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from listener.scu.alternatives import send_by_profile, send_in_order
from listener.scu.association import Sendable
from listener.scu.pace import Pace
from listener.scu.settings import DestinationSettings
from listener.scu.verdict import NoAnswer, outcome_without_answer
from listener.scu.web.access import Access, Caller, access_to
from listener.scu.web.answer import Concerns, Whole, read_reply, without_reply
from listener.scu.web.line import NoReply, Unanswered, WebDeadlines, WebLine, deadlines_of
from listener.scu.web.multipart import DicomBody
from storage.domain.delivery import DeliveryStanding, SendOutcome, Verdict
from storage.domain.result import FrozenEvidence
from storage.domain.viewer_profile import PROFILES, Choice, ViewerProfile

_MOST_REQUEST_BYTES = 64 * 2**20  # in one request, unless one object alone has more
_MOST_OBJECTS = 50
_MOST_ANSWER_BYTES = 2**20


class StowSender:
    """Our side of STOW-RS; one request at a time."""

    def __init__(
        self,
        deadlines: WebDeadlines | None = None,
        profiles: Mapping[str, ViewerProfile] = PROFILES,
        pace: Pace | None = None,
    ) -> None:
        """``profiles`` are all that a destination may name; the ``deadlines`` are else those of its settings."""
        self._deadlines = deadlines
        self._pace = pace or Pace()
        self._profiles = profiles
        self._access: dict[str, Access] = {}  # by destination, for it may keep a token

    def send(
        self,
        destination: DestinationSettings,
        evidence: Sequence[FrozenEvidence],
        stopped: Callable[[], bool] = lambda: False,
        standing: DeliveryStanding = DeliveryStanding(),  # noqa: B008 - immutable
    ) -> tuple[SendOutcome, ...]:
        """Send each thing in one form and say what came of each instance, as ``StoreScu.send`` does.

        The objects of one form go together, as many as a request may have; those of another role go in a request of
        their own, after it was answered. Nothing is *delivered* without the destination naming it as stored.
        """
        profile = self._profiles[destination.profile]

        def send_all(ordered: Sequence[Choice]) -> tuple[SendOutcome, ...]:
            with WebLine(stopped, destination, self._deadlines or deadlines_of(destination)) as line:
                access = self._access.setdefault(destination.name, access_to(destination))
                posting = _Posting(line, Caller(line, access), destination, standing.holds_back, self._pace)
                return send_in_order(
                    ordered, lambda one: _obstacle(destination, profile, one), posting.store, standing.holds_back
                )

        return send_by_profile(profile, evidence, standing, send_all)

    def rest(self) -> None:
        """Nothing is kept open between two results."""


class _Posting:
    """Requests of one delivery, until one of them says that the others would be in vain."""

    def __init__(
        self, line: WebLine, caller: Caller, destination: DestinationSettings, holds_back: bool, pace: Pace
    ) -> None:
        self._line = line
        self._caller = caller
        self._pace = pace
        self._destination = destination
        self._holds_back = holds_back
        self._ended: Whole | None = None

    def store(self, instances: Sequence[FrozenEvidence]) -> tuple[SendOutcome, ...]:
        """What came of each of these."""
        return tuple(outcome for those in _requests(instances) for outcome in self._store(those))

    def _store(self, those: Sequence[FrozenEvidence]) -> tuple[SendOutcome, ...]:
        if self._ended is not None:
            return tuple(self._ended.outcome(one.sop_instance_uid) for one in those)
        self._line.wait(self._pace, sum(one.size for one in those), len(those))
        whole, said = post(self._caller, self._destination.url, those)
        unnamed = [one for one in those if one.sop_instance_uid not in said]
        alone = whole.verdict is Verdict.REFUSED and whole.concerns is not Concerns.DESTINATION
        if len(those) > 1 and unnamed and alone:
            again = {outcome.sop_instance_uid: outcome for one in unnamed for outcome in self._store([one])}
            return tuple((said | again)[one.sop_instance_uid] for one in those)
        ends = whole.concerns is Concerns.DESTINATION or (self._holds_back and whole.out_of_reach)
        if unnamed and ends:
            self._ended = whole
        return tuple(said.get(one.sop_instance_uid) or whole.outcome(one.sop_instance_uid) for one in those)


def post(caller: Caller, url: str, those: Sequence[Sendable]) -> tuple[Whole, dict[str, SendOutcome]]:
    """One request: what came of it as a whole, and of each instance that the answer names."""
    body = DicomBody(those)
    headers = {
        "Content-Type": body.content_type,
        "Content-Length": str(body.size),
        "Accept": "application/dicom+json",
    }
    address = f"{url.rstrip('/')}/studies"
    try:
        reply = caller.ask("POST", address, headers, body.pieces, body.size, _MOST_ANSWER_BYTES)
    except Unanswered as unanswered:
        return without_reply(unanswered.why), {}
    except OSError:  # a file of ours: the next attempt finds it damaged, and says so
        return without_reply(NoReply.BROKEN), {}
    return read_reply(reply, [one.sop_instance_uid for one in those])


def _requests(instances: Sequence[FrozenEvidence]) -> Iterator[list[FrozenEvidence]]:
    """Together what fits in one request, in their order."""
    those: list[FrozenEvidence] = []
    for one in instances:
        if those and (len(those) == _MOST_OBJECTS or sum(each.size for each in those) + one.size > _MOST_REQUEST_BYTES):
            yield those
            those = []
        those.append(one)
    if those:
        yield those


def _obstacle(destination: DestinationSettings, profile: ViewerProfile, item: FrozenEvidence) -> SendOutcome | None:
    """Why this instance cannot be sent at all; ``None`` where it can."""
    if 0 < destination.max_instance_bytes < item.size:
        return outcome_without_answer(item.sop_instance_uid, NoAnswer.TOO_LARGE)
    if item.transfer_syntax_uid not in profile.transfer_syntaxes:
        return outcome_without_answer(item.sop_instance_uid, NoAnswer.TRANSFER_SYNTAX_NOT_SHOWN)
    return None
