"""What a destination's answers to the self-test come to: facts, which form it gets, and what an operator can do."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from listener.scu.find_again import Query
from listener.scu.instance_query import Found
from listener.scu.probe import Answer, Probed
from listener.scu.settings import DestinationSettings
from storage.domain.delivery import Verdict
from storage.domain.result import UNALIGNED, EvidenceForm
from storage.domain.self_test import SELF_TEST_PATIENT_ID, SelfTest, SelfTestInstance
from storage.domain.viewer_profile import Chain, ViewerProfile
from storage.ports.facts import Facts

CONTEXT_ANSWERS: dict[int | None, str] = {  # PS3.8 table 9-18
    0: "accepted",
    1: "refused by the user",
    2: "refused without a reason",
    3: "SOP Class not supported",
    4: "transfer syntax not supported",
    None: "no answer",  # over the web nothing is negotiated
}
WHERE = {
    "": "any",
    "aligned": "Rows × Columns a multiple of 8",
    "unaligned": "Rows × Columns no multiple of 8",
}
_QUERY_SENTENCES = {
    Query.NOT_OFFERED: (
        "It cannot be asked what it holds, because it takes no C-FIND (Study Root) from us: what it acknowledged was "
        "not looked for. Look for the study there by hand."
    ),
    Query.NO_ASSOCIATION: (
        "It gave no second association for C-FIND, so what it acknowledged was not looked for. Look for the study "
        "there by hand, or allow Overread more than one association."
    ),
    Query.FAILED: (
        "It accepted C-FIND and then did not carry it out{status}, so what it acknowledged was not looked for. Allow "
        "our AE title to query there (in Orthanc, for example, by DicomModalities), or look for the study by hand."
    ),
}


@dataclass(frozen=True, slots=True)
class Way:
    """One thing in daily work: the forms of a chain that there are, and the one that this destination would get.

    ``where`` tells apart matrices of which the form depends. ``stuck`` is a form that daily work would try again and
    again before it took a later one.
    """

    chain: Chain
    where: str
    forms: tuple[EvidenceForm, ...]
    taken: EvidenceForm | None
    stuck: EvidenceForm | None


@dataclass(frozen=True)
class ProbeReport:
    """All that one probe showed."""

    destination: DestinationSettings
    profile: ViewerProfile
    self_test: SelfTest
    probed: Probed

    @cached_property
    def ways(self) -> tuple[Way, ...]:
        """What of each chain the destination would get."""
        return tuple(way for chain in self.profile.chains for way in self._ways(chain))

    @property
    def passed(self) -> bool:
        """Whether each thing has a form that was taken, and was found again if the destination could be asked."""
        return self.probed.rejection is None and all(self._is_good(way) for way in self.ways)

    @property
    def not_made(self) -> list[EvidenceForm]:
        """Forms of the profile that the self-test has none of: its result follows none that could be rejected."""
        return [form for chain in self.profile.chains for form in chain if form not in self.self_test.forms]

    def facts(self) -> Facts:
        """Everything, as JSON can carry it."""
        probed, place = self.probed, self.destination
        rejection = probed.rejection
        return {
            "destination": place.name,
            "kind": place.kind,
            "ae_title": place.ae_title,
            "host": place.host,
            "port": place.port,
            "url": place.url,
            "profile": self.profile.name,
            "study_instance_uid": self.self_test.study_instance_uid,
            "patient_id": SELF_TEST_PATIENT_ID,
            "association": {
                "accepted": rejection is None,
                "seconds": probed.associate_seconds,
                "echo_seconds": probed.again.echo_seconds,
                "rejection": rejection
                and {
                    "why": str(rejection.why),
                    "result": rejection.result,
                    "source": rejection.source,
                    "reason": rejection.reason,
                },
            },
            "query": {"answer": str(probed.again.query), "status": probed.again.status, "note": probed.again.note},
            "images": [self._instance_facts(one) for one in self.self_test.instances if one.form is None],
            "forms": [self._instance_facts(one) for one in self.self_test.instances if one.form is not None],
            "not_made": [str(form) for form in self.not_made],
            "daily_work": [
                {
                    "chain": [str(form) for form in way.chain],
                    "where": way.where,
                    "sent": way.taken and str(way.taken),
                    "tried_again": way.stuck and str(way.stuck),
                    "good": self._is_good(way),
                }
                for way in self.ways
            ],
            "advice": list(self.advice()),
            "passed": self.passed,
        }

    def advice(self) -> Iterator[str]:
        """Sentences for the operator: what is not as it should be, and what to do."""
        rejection = self.probed.rejection
        if rejection is not None:
            numbers = (
                f" (A-ASSOCIATE-RJ: result {rejection.result}, source {rejection.source}, reason {rejection.reason})"
                if rejection.result
                else ""
            )
            yield f"{rejection.note[:-1]}{numbers}."
            return
        yield from self._about_images()
        for one in self.self_test.instances:
            if one.form is not None:
                yield from self._about(one)
        if any(self._is_unknown(one) for one in self.self_test.instances):
            yield (
                "How a SOP Class is enabled is in the destination's manual; in Orthanc, for example, by "
                "UnknownSopClassAccepted = true."
            )
        yield from self._about_query()
        if not self.profile.is_told_of_no_result:
            yield (
                f"The profile {self.profile.name} has no basic-text, so this destination is not told when an algorithm "
                'comes to no result ("Not analysed").'
            )
        if self.not_made:
            yield f"Not tried, because the self-test has none of it: {', '.join(self.not_made)}."

    def answer(self, one: SelfTestInstance) -> Answer:
        """What came of one instance."""
        return self.probed.answers[one.sop_instance_uid]

    def found(self, one: SelfTestInstance) -> Found:
        """Whether it is there."""
        return self.probed.again.found.get(one.sop_instance_uid, Found.NOT_ASKED)

    def _instance_facts(self, one: SelfTestInstance) -> Facts:
        answer = self.probed.answers.get(one.sop_instance_uid)
        return {
            "form": one.form and str(one.form),
            "sop_class_uid": one.sop_class_uid,
            "sop_instance_uid": one.sop_instance_uid,
            "series_instance_uid": one.series_instance_uid,
            "transfer_syntax_uid": one.transfer_syntax_uid,
            "size": one.size,
            "context": None if answer is None else answer.context,
            "context_answer": CONTEXT_ANSWERS[None if answer is None else answer.context],
            "status": None if answer is None else answer.outcome.status,
            "note": "" if answer is None else answer.outcome.note,
            "found": str(self.found(one)),
        }

    def _of_form(self, form: EvidenceForm) -> SelfTestInstance:
        return next(one for one in self.self_test.instances if one.form is form)

    def _ways(self, chain: Chain) -> Iterator[Way]:
        made = [form for form in chain if form in self.self_test.forms]
        aligned, unaligned = {*UNALIGNED}, {*UNALIGNED.values()}
        if not unaligned & {*made}:
            cases = {"": made}
        else:
            cases = {
                "aligned": [form for form in made if form not in unaligned],
                "unaligned": [form for form in made if form not in aligned],
            }
        for where, forms in cases.items():
            if forms:
                yield self._way(chain, where, tuple(forms))

    def _way(self, chain: Chain, where: str, forms: tuple[EvidenceForm, ...]) -> Way:
        """As a delivery chooses: the first form that is not refused."""
        for form in forms:
            one = self._of_form(form)
            if not self._may_be_sent(one) or one.sop_instance_uid not in self.probed.answers:
                continue
            verdict = self.answer(one).outcome.verdict
            if verdict is Verdict.DELIVERED:
                return Way(chain, where, forms, form, None)
            if verdict is Verdict.TRY_AGAIN:
                return Way(chain, where, forms, None, form)
        return Way(chain, where, forms, None, None)

    def _may_be_sent(self, one: SelfTestInstance) -> bool:
        """Whether our own settings let it go there."""
        return one.transfer_syntax_uid in self.profile.transfer_syntaxes

    def _is_good(self, way: Way) -> bool:
        if way.taken is None:
            return False
        return self.probed.again.query is not Query.ANSWERED or self.found(self._of_form(way.taken)) is Found.FOUND

    def _about_images(self) -> Iterator[str]:
        images = [one for one in self.self_test.instances if one.form is None]
        refused = [one for one in images if self.answer(one).outcome.verdict is not Verdict.DELIVERED]
        if refused:
            yield (
                f"It did not take {len(refused)} of {len(images)} source images (CT): "
                f"{self.answer(refused[0]).outcome.note} Results refer to images, so they must reach it by another way."
            )
        if any(self.found(one) in (Found.NOT_FOUND, Found.OTHER_CLASS) for one in images):
            yield "It acknowledged source images and does not find all of them; look at its log."

    def _about(self, one: SelfTestInstance) -> Iterator[str]:
        """What is to be said of one form; of a form behind the one that is sent, nothing is missing."""
        answer, found = self.answer(one), self.found(one)
        wanted = [way for way in self.ways if one.form in way.forms and _comes_first(one.form, way)]
        if wanted and not self._may_be_sent(one):
            yield f"{one.form} is written in a transfer syntax that the profile {self.profile.name} does not have."
        elif answer.outcome.verdict is not Verdict.DELIVERED and wanted:
            yield " ".join(
                (f"{one.form}: {self._why(one, answer)}", *(_until_then(way) for way in wanted if way.taken))
            )
        if found is Found.NOT_FOUND:
            yield (
                f"{one.form}: it acknowledged the instance and does not find it again; look at its log, it may have "
                "set it aside or be slow (`--wait`)."
            )
        if found is Found.OTHER_CLASS:
            yield f"{one.form}: it holds the instance under another SOP Class UID; ask its vendor why."

    def _is_unknown(self, one: SelfTestInstance) -> bool:
        """Whether advice was given to enable its SOP Class."""
        wanted = any(one.form in way.forms and _comes_first(one.form, way) for way in self.ways)
        answer = self.answer(one)
        return wanted and self._may_be_sent(one) and (answer.context == 3 or answer.outcome.status == 0x0122)

    def _why(self, one: SelfTestInstance, answer: Answer) -> str:
        if answer.context == 3:
            return f"it does not know the SOP Class {one.sop_class_uid}; enable it there if its viewers show this form."
        if answer.context == 4:
            return (
                f"it does not take the transfer syntax {one.transfer_syntax_uid} for the SOP Class "
                f"{one.sop_class_uid}; enable it there."
            )
        return answer.outcome.note

    def _about_query(self) -> Iterator[str]:
        again = self.probed.again
        if again.note:
            yield f"What it acknowledged was not looked for: {again.note[:1].lower()}{again.note[1:]}"
        elif again.query in _QUERY_SENTENCES:
            status = "" if again.status is None else f" (status 0x{again.status:04X})"
            yield _QUERY_SENTENCES[again.query].format(status=status)


def _until_then(way: Way) -> str:
    """What goes meanwhile, and of which images where that depends on them."""
    return f"Until then {way.taken} is sent{f' of images with {WHERE[way.where]}' if way.where else ''}."


def _comes_first(form: EvidenceForm | None, way: Way) -> bool:
    """Whether a delivery asks for this form before it comes to one that is taken."""
    if way.taken is None:
        return True
    return form is not None and way.forms.index(form) < way.forms.index(way.taken)
