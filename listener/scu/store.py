"""Send frozen evidence to a destination over one association (C-STORE as SCU, PS3.4 annex B)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from pynetdicom.association import Association

from listener.scu.alternatives import send_by_profile, send_in_order
from listener.scu.association import Deadlines, deadlines_of, is_accepted, store
from listener.scu.open_association import OpenAssociation, open_association
from listener.scu.pace import Pace
from listener.scu.settings import DestinationSettings
from listener.scu.verdict import NoAnswer, outcome_without_answer
from storage.domain.delivery import DeliveryStanding, SendOutcome
from storage.domain.result import FrozenEvidence
from storage.domain.viewer_profile import PROFILES, Choice, ViewerProfile


class StoreScu:
    """Our side of C-STORE as SCU; one association at a time."""

    def __init__(
        self,
        ae_title: str,
        deadlines: Deadlines | None = None,
        profiles: Mapping[str, ViewerProfile] = PROFILES,
        pace: Pace | None = None,
        keeps: bool = False,
    ) -> None:
        """``profiles`` are all that a destination may name; the ``deadlines`` are else those of its settings.

        One that ``keeps`` its association sends the next result over it as well, as the settings bound that, until
        ``rest``.
        """
        self._ae_title = ae_title
        self._profiles = profiles
        self._deadlines = deadlines
        self._pace = pace or Pace()
        self._keeps = keeps
        self._kept: OpenAssociation | None = None

    def send(
        self,
        destination: DestinationSettings,
        evidence: Sequence[FrozenEvidence],
        stopped: Callable[[], bool] = lambda: False,
        standing: DeliveryStanding = DeliveryStanding(),  # noqa: B008 - immutable
    ) -> tuple[SendOutcome, ...]:
        """Send each thing in one form over one association and say what came of each instance.

        All forms that the destination's profile shows are proposed; the first that it accepts is sent. Segmentations
        go before reports, so that a report's references are there when it arrives; what has to be tried again holds
        back what follows, unless ``standing`` says otherwise. Once ``stopped`` says so the association is cut, and what
        has no answer yet is to be tried again. Nothing is *delivered* without a status from the destination, and the
        release of the association plays no part in it. Of what ``standing`` says that it has in one form, no other form
        is sent. A segmentation or report that was made in no form of the profile is refused.
        """
        return send_by_profile(
            self._profiles[destination.profile],
            evidence,
            standing,
            lambda ordered: self._send(destination, ordered, stopped, standing.holds_back),
        )

    def _send(
        self,
        destination: DestinationSettings,
        ordered: Sequence[Choice],
        stopped: Callable[[], bool],
        holds_back: bool,
    ) -> tuple[SendOutcome, ...]:
        instances = [one for choice in ordered for one in choice.instances()]
        if stopped():
            return _all_without_answer(instances, NoAnswer.INTERRUPTED)
        kept, self._kept = self._kept, None
        if kept is not None and kept.serves(destination, instances):
            outcomes = self._sent_over(kept, destination, ordered, stopped, holds_back)
            if stopped() or not _is_gone(outcomes):
                return outcomes
        elif kept is not None:
            kept.close()
        deadlines = self._deadlines or deadlines_of(destination)
        opened = open_association(self._ae_title, destination, instances, stopped, deadlines)
        if isinstance(opened, NoAnswer):
            return _all_without_answer(instances, opened)
        return self._sent_over(opened, destination, ordered, stopped, holds_back)

    def _sent_over(
        self,
        opened: OpenAssociation,
        destination: DestinationSettings,
        ordered: Sequence[Choice],
        stopped: Callable[[], bool],
        holds_back: bool,
    ) -> tuple[SendOutcome, ...]:
        """Send one result, and keep the association for the next one or close it."""
        opened.begin(stopped)

        def store_in_time(one: FrozenEvidence) -> SendOutcome:
            if opened.association.is_established:  # else nothing is sent, and nobody has to wait for that
                seconds = self._pace.take_turn(one.size)
                opened.line.grant(seconds)
                self._pace.wait(seconds, stopped)
            there = opened.association.is_established
            outcome = store(opened.association, opened.next_message_id(), one, opened.line)
            return outcome if there else replace(outcome, went_out=False)

        outcomes = send_in_order(
            ordered,
            lambda one: self._obstacle(opened.association, destination, one),
            lambda those: [store_in_time(one) for one in those],
            holds_back,
        )
        if self._keeps and opened.may_serve_more():
            opened.idle()
            self._kept = opened
        else:
            opened.close()
        return outcomes

    def rest(self) -> None:
        """Nothing more is due: close what is kept open."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def _obstacle(
        self, association: Association, destination: DestinationSettings, item: FrozenEvidence
    ) -> SendOutcome | None:
        """Why this instance cannot be sent at all on this association; ``None`` where it can."""
        if not association.is_established:
            return None  # nothing is known of the next one: storing says what happened
        if 0 < destination.max_instance_bytes < item.size:
            return outcome_without_answer(item.sop_instance_uid, NoAnswer.TOO_LARGE)
        if item.transfer_syntax_uid not in self._profiles[destination.profile].transfer_syntaxes:
            return outcome_without_answer(item.sop_instance_uid, NoAnswer.TRANSFER_SYNTAX_NOT_SHOWN)
        if not is_accepted(association, item):
            return outcome_without_answer(item.sop_instance_uid, NoAnswer.NOT_ACCEPTED)
        return None


def _is_gone(outcomes: Sequence[SendOutcome]) -> bool:
    """Whether the destination had ended a kept association, or did so at the first object."""
    return all(outcome.status is None for outcome in outcomes) and any(outcome.out_of_reach for outcome in outcomes)


def _all_without_answer(evidence: Sequence[FrozenEvidence], why: NoAnswer) -> tuple[SendOutcome, ...]:
    return tuple(replace(outcome_without_answer(item.sop_instance_uid, why), went_out=False) for item in evidence)
