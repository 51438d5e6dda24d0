"""One thing after the other, each in the best form that a destination takes; what the other forms come to."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from listener.scu.verdict import outcome_without_form
from storage.domain.delivery import DeliveryStanding, SendOutcome, Verdict
from storage.domain.result import ALTERNATIVES, DELIVERY_ORDER, EvidenceForm, EvidenceRole, FrozenEvidence
from storage.domain.viewer_profile import Choice, ViewerProfile, choices, without_a_form

# Sends instances of one form and says what came of each, in their order.
Store = Callable[[Sequence[FrozenEvidence]], Sequence[SendOutcome]]

_NOTE = DELIVERY_ORDER[EvidenceRole.REJECTION_NOTE]
_REPORTS = frozenset(ALTERNATIVES[1])
_NOTHING_IN_ITS_PLACE = "The destination has not taken the report, so the earlier result is left to it."
_HELD_BACK = "It is held back until the destination has taken what it refers to."


def place_in_order(choice: Choice) -> int:
    """Where a choice stands among what is sent: what others refer to goes first."""
    return min(DELIVERY_ORDER[one.role] for one in choice.instances())


def send_by_profile(
    profile: ViewerProfile,
    evidence: Sequence[FrozenEvidence],
    standing: DeliveryStanding,
    send_all: Callable[[Sequence[Choice]], Sequence[SendOutcome]],
) -> tuple[SendOutcome, ...]:
    """Choose by what the destination's viewers show, and say what came of everything, sent or not.

    ``send_all`` sends the choices, which stand in the order in which they go, and is not called when there is none. Of
    what ``standing`` says that the destination has in one form, no other form is sent. A segmentation or report that
    was made in no form of the profile is refused.
    """
    wanted, unwanted = choices(profile, evidence, standing.taken)
    lacking = without_a_form(profile, evidence, standing.taken)
    no_form = [
        outcome_without_form(one.sop_instance_uid, word, profile.name) for word, those in lacking for one in those
    ]
    may_do_without = [one for one in unwanted if not any(one in those for _, those in lacking)]
    not_shown = unneeded(may_do_without, f"The profile {profile.name} of the destination does not show this form.")
    there = [outcome for choice in wanted if not any(choice.to_send()) for outcome in unneeded_beside_begun(choice)]
    ordered = sorted((choice for choice in wanted if any(choice.to_send())), key=place_in_order)
    notes = [choice for choice in ordered if place_in_order(choice) == _NOTE]
    ordered = [choice for choice in ordered if choice not in notes]
    sent = tuple(send_all(ordered)) if ordered else ()
    sent += _sent_notes(notes, sent, _has_report(evidence, sent, standing), send_all)
    if any(outcome.verdict is Verdict.TRY_AGAIN for outcome in sent):
        return (*sent, *there, *no_form)  # the profile may be another one next time, and show the rest
    return (*sent, *there, *no_form, *not_shown)


def _has_report(evidence: Sequence[FrozenEvidence], sent: Sequence[SendOutcome], standing: DeliveryStanding) -> bool:
    """Whether the destination holds the report of this result, in whichever form."""
    reports = {one.sop_instance_uid for one in evidence if one.form in _REPORTS}
    arrived = {outcome.sop_instance_uid for outcome in sent if outcome.verdict is Verdict.DELIVERED}
    return bool(reports & arrived) or bool(standing.taken & _REPORTS)


def _sent_notes(
    notes: Sequence[Choice],
    before: Sequence[SendOutcome],
    has_report: bool,
    send_all: Callable[[Sequence[Choice]], Sequence[SendOutcome]],
) -> tuple[SendOutcome, ...]:
    """Nothing is taken away from a destination before it holds what takes the place of that."""
    instances = [one for choice in notes for one in choice.to_send()]
    if not instances:
        return ()
    if any(outcome.verdict is Verdict.TRY_AGAIN for outcome in before):
        return tuple(
            SendOutcome(one.sop_instance_uid, Verdict.TRY_AGAIN, None, _HELD_BACK, went_out=False) for one in instances
        )
    return tuple(send_all(notes)) if has_report else unneeded(instances, _NOTHING_IN_ITS_PLACE)


def send_in_order(
    ordered: Sequence[Choice],
    obstacle: Callable[[FrozenEvidence], SendOutcome | None],
    store: Store,
    holds_back: bool,
) -> tuple[SendOutcome, ...]:
    """Send each choice; with ``holds_back`` nothing overtakes an earlier kind of thing that has to be tried again."""
    outcomes: list[SendOutcome] = []
    waits_for: int | None = None
    for choice in ordered:
        if holds_back and waits_for is not None and place_in_order(choice) > waits_for:
            held = (
                SendOutcome(one.sop_instance_uid, Verdict.TRY_AGAIN, None, _HELD_BACK, went_out=False)
                for one in choice.to_send()
            )
            outcomes += held
            continue
        came_of_it = send_best(choice, obstacle, store)
        # Where the destination is not to be had, what follows says that of itself.
        if any(outcome.verdict is Verdict.TRY_AGAIN and not outcome.out_of_reach for outcome in came_of_it):
            waits_for = place_in_order(choice)
        outcomes += came_of_it
    return tuple(outcomes)


def send_best(
    choice: Choice,
    obstacle: Callable[[FrozenEvidence], SendOutcome | None],
    store: Store,
) -> tuple[SendOutcome, ...]:
    """Send one form of a choice: the first without an ``obstacle`` that the destination does not refuse.

    Once it holds an instance of that form, all other forms are not needed; until then they stay owed, because the next
    association may take another form. When no form is left each one is refused, with its own reason. Of a choice that
    an earlier association began, only the rest of what was begun is sent.
    """
    if choice.begun:
        return _send_rest(choice, obstacle, store)
    passed_over: list[SendOutcome] = []
    for place, (form, instances) in enumerate(choice.forms):
        outcomes = _obstacles(instances, obstacle) or tuple(store(instances))
        if all(outcome.verdict is Verdict.REFUSED for outcome in outcomes):
            passed_over += outcomes
        elif any(outcome.verdict is Verdict.DELIVERED for outcome in outcomes):
            later = [one for _, others in choice.forms[place + 1 :] for one in others]
            why = _taken_as(form, outcomes)
            return (*outcomes, *_not_needed(passed_over, why), *unneeded(later, why))
        else:
            return outcomes
    return tuple(passed_over)


def _send_rest(
    choice: Choice,
    obstacle: Callable[[FrozenEvidence], SendOutcome | None],
    store: Store,
) -> tuple[SendOutcome, ...]:
    outcomes: list[SendOutcome] = []
    for form, instances in choice.forms:
        if form in choice.begun:
            outcomes += _obstacles(instances, obstacle) or store(instances)
    return (*outcomes, *unneeded_beside_begun(choice, outcomes))


def unneeded_beside_begun(choice: Choice, rest: Iterable[SendOutcome] = ()) -> tuple[SendOutcome, ...]:
    """What is owed in other forms than the begun one, once ``rest`` came of the rest of that."""
    others = [one for form, instances in choice.forms if form not in choice.begun for one in instances]
    return unneeded(others, _taken_as(choice.begun[0], rest))


def unneeded(instances: Iterable[FrozenEvidence], note: str) -> tuple[SendOutcome, ...]:
    """Instances that are not sent, and why."""
    return tuple(SendOutcome(one.sop_instance_uid, Verdict.NOT_NEEDED, None, note) for one in instances)


def _obstacles(
    instances: tuple[FrozenEvidence, ...], obstacle: Callable[[FrozenEvidence], SendOutcome | None]
) -> tuple[SendOutcome, ...]:
    """What is in the way of one stands in the way of the whole form: half a segmentation is none."""
    found = [obstacle(one) for one in instances]
    first = next((each for each in found if each is not None), None)
    if first is None:
        return ()
    return tuple(
        each or replace(first, sop_instance_uid=one.sop_instance_uid)
        for each, one in zip(found, instances, strict=True)
    )


def _not_needed(passed_over: Iterable[SendOutcome], why: str) -> tuple[SendOutcome, ...]:
    return tuple(replace(each, verdict=Verdict.NOT_NEEDED, note=f"{each.note} {why}") for each in passed_over)


def _taken_as(form: EvidenceForm, outcomes: Iterable[SendOutcome]) -> str:
    if all(outcome.verdict is Verdict.DELIVERED for outcome in outcomes):
        return f"The destination took the same content as {form}."
    return f"The destination took only a part of the same content as {form}; the rest goes in that form or not at all."
