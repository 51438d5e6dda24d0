"""An archive that is asked by C-FIND and gives by C-MOVE or C-GET, with the Study Root model (PS3.4 section C.6.2)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from listener.scu.association import Deadlines, Line, associate, release, why_not_established
from listener.scu.instance_query import STUDY_ROOT_FIND
from listener.scu.query.archive import BROKEN_OFF, ArchiveFailed, Lacking, require_uids, unreached
from listener.scu.query.archive_settings import ArchiveSettings
from listener.scu.query.get_contexts import STUDY_ROOT_GET, contexts_of_get, roles_of
from listener.scu.query.keeping import Keeping
from listener.scu.query.matching import FoundSeries, FoundStudy, ListedInstance, StudyQuery, date_of
from listener.scu.query.retrieve_status import PENDING, reason_of_status
from listener.scu.verdict import NoAnswer
from storage.domain.identifiers import is_uid
from storage.domain.job import Reason

STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"  # Study Root Query/Retrieve Information Model - MOVE
_UNIVERSAL: list[str | UID] = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_STUDY_KEYS = (
    "StudyInstanceUID",
    "PatientID",
    "IssuerOfPatientID",
    "StudyDate",
    "StudyTime",
    "StudyDescription",
    "ModalitiesInStudy",
    "NumberOfStudyRelatedInstances",
)
_SERIES_KEYS = ("Modality", "BodyPartExamined", "SeriesDescription", "ProtocolName")
_RAISE = "raise most_instances_per_study"
_IN_LIST = 100  # UIDs of one identifier
_NOT_OFFERED = {
    "find": "The archive accepts no C-FIND (Study Root) from us; allow it there.",
    "move": "The archive accepts no C-MOVE (Study Root) from us; allow it there.",
    "get": 'The archive accepts no C-GET (Study Root) from us; allow it there, or set retrieve = "c-move".',
}
_TOO_LARGE = (
    "The archive gave an instance that is larger than [listener] max_instance_bytes; raise that, or leave it out."
)


@dataclass(frozen=True, slots=True)
class _Limits:
    instance_bytes: int
    instances: int


class DimseArchive:
    """Implements the port Archive; each call has an association of its own, cut when ``stopped`` says so."""

    def __init__(
        self,
        settings: ArchiveSettings,
        ae_title: str,
        keeping: Callable[[str], Keeping],
        max_instance_bytes: int,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """``ae_title`` is ours; ``keeping`` begins to keep what comes of a study by C-GET."""
        self._settings = settings
        self._ae_title = ae_title
        self._keeping = keeping
        self._limits = _Limits(max_instance_bytes, settings.most_instances_per_study)
        self._stopped = stopped

    def find_studies(self, query: StudyQuery, most: int) -> list[FoundStudy]:
        """The studies that it has for the keys that a study has."""
        keys = {**dict.fromkeys(_STUDY_KEYS, ""), **query.of_study}
        found: dict[str, FoundStudy] = {}
        with self._associated("find", [build_context(STUDY_ROOT_FIND, _UNIVERSAL)]) as association:
            for answer in _matches(association, "STUDY", keys):
                study = _study(answer)
                if is_uid(study.study_instance_uid) and query.holds(study):
                    found[study.study_instance_uid] = study
                _require_fewer(len(found), most, "studies match", "narrow the query")
        return list(found.values())

    def find_series(self, study_instance_uid: str) -> list[FoundSeries]:
        """The series of a study."""
        with self._associated("find", [build_context(STUDY_ROOT_FIND, _UNIVERSAL)]) as association:
            return list(self._series(association, study_instance_uid))

    def list_instances(self, study_instance_uid: str) -> list[ListedInstance]:
        """Every instance that it has of a study."""
        found: dict[str, ListedInstance] = {}
        answers = 0
        with self._associated("find", [build_context(STUDY_ROOT_FIND, _UNIVERSAL)]) as association:
            for series in self._series(association, study_instance_uid):
                keys = {
                    "StudyInstanceUID": study_instance_uid,
                    "SeriesInstanceUID": series.series_instance_uid,
                    "SOPInstanceUID": "",
                    "SOPClassUID": "",
                }
                for answer in _matches(association, "IMAGE", keys):
                    uid = _text(answer, "SOPInstanceUID")
                    if _text(answer, "StudyInstanceUID") in ("", study_instance_uid):
                        require_uids((uid,))
                        found[uid] = ListedInstance(series.series_instance_uid, uid, _text(answer, "SOPClassUID"))
                    answers += 1  # one that is listed for ever is one in ``found``
                    _require_fewer(answers, self._limits.instances, "instances are listed", _RAISE)
        return list(found.values())

    def retrieve(self, study_instance_uid: str, lacking: Sequence[Lacking], whole: bool) -> Reason | None:
        """Have these come, by the way that the settings name."""
        identifiers = [_of_study(study_instance_uid)] if whole else list(_identifiers(study_instance_uid, lacking))
        if self._settings.way == "c-move":
            return self._move(identifiers)
        return self._get(study_instance_uid, identifiers, [one for each in lacking for one in each.instances])

    def _series(self, association: Association, study_instance_uid: str) -> Iterator[FoundSeries]:
        keys = {"StudyInstanceUID": study_instance_uid, "SeriesInstanceUID": "", **dict.fromkeys(_SERIES_KEYS, "")}
        # All of them before the next question: one association has one question at a time.
        answers: list[Dataset] = []
        for answer in _matches(association, "SERIES", keys):
            answers.append(answer)
            _require_fewer(len(answers), self._limits.instances, "series are listed", _RAISE)
        for answer in answers:
            if _text(answer, "StudyInstanceUID") in ("", study_instance_uid):
                uid = _text(answer, "SeriesInstanceUID")
                require_uids((uid,))
                yield FoundSeries(uid, {key: _text(answer, key) for key in _SERIES_KEYS})

    def _move(self, identifiers: Sequence[Dataset]) -> Reason | None:
        to = self._settings.received_as or self._ae_title
        with self._associated("move", [build_context(STUDY_ROOT_MOVE, _UNIVERSAL)]) as association:
            association.dimse_timeout = self._settings.longest_transfer_seconds  # it need not say how it gets on
            answers = (
                association.send_c_move(identifier, to, STUDY_ROOT_MOVE, msg_id=number)
                for number, identifier in enumerate(identifiers, 1)
            )
            return _outcome(answers)

    def _get(
        self, study_instance_uid: str, identifiers: Sequence[Dataset], instances: Sequence[ListedInstance]
    ) -> Reason | None:
        contexts = contexts_of_get([one.sop_class_uid for one in instances])
        keeping = self._keeping(study_instance_uid)
        takes = _Takes(keeping, self._limits.instance_bytes)
        handlers: list[evt.EventHandlerType] = [
            (evt.EVT_C_STORE, takes.store),
            (evt.EVT_PDU_RECV, takes.received),
        ]
        broken = "The archive's answer did not come to its end."
        try:
            with self._associated("get", contexts, handlers) as association:
                association.dimse_timeout = self._settings.longest_transfer_seconds
                answers = (
                    association.send_c_get(identifier, STUDY_ROOT_GET, msg_id=number)
                    for number, identifier in enumerate(identifiers, 1)
                )
                try:
                    said = _outcome(answers)
                except ArchiveFailed:
                    if takes.too_large:
                        raise ArchiveFailed("instance-too-large", _TOO_LARGE) from None
                    raise
            broken = ""
            return said
        finally:
            keeping.close(broken)

    @contextmanager
    def _associated(
        self,
        what: str,
        contexts: Sequence[PresentationContext],
        handlers: Sequence[evt.EventHandlerType] = (),
    ) -> Iterator[Association]:
        settings = self._settings
        deadlines = Deadlines(
            connect=settings.connect_seconds, answer=settings.answer_seconds, total=settings.longest_transfer_seconds
        )
        with Line(self._stopped, deadlines) as line:
            try:
                association = associate(self._ae_title, settings.place(), contexts, line, handlers, roles_of(contexts))
            except OSError:  # the name of the host could not be resolved
                raise unreached(NoAnswer.UNKNOWN_HOST) from None
            if not association.is_established:
                why = why_not_established(association, line)
                if why is NoAnswer.NOT_ACCEPTED:
                    raise ArchiveFailed("archive-lacks-service", _NOT_OFFERED[what], over=True)
                raise unreached(why)
            if what in ("move", "get") and not _offers(association, what):
                association.abort()
                raise ArchiveFailed("archive-lacks-service", _NOT_OFFERED[what], over=True)
            try:
                yield association
            except BaseException:
                association.abort()  # what is still to come of this answer would be taken for the next one's
                raise
            if association.is_established:
                release(association, line)


class _Takes:
    """Keeps each instance that comes on an association, and ends one that sends too large a one."""

    def __init__(self, keeping: Keeping, max_instance_bytes: int) -> None:
        self._keeping = keeping
        self._most = max_instance_bytes
        self._held = 0
        self.too_large = False

    def received(self, event: evt.Event) -> None:
        """Count what the toolkit holds of the instance that is coming."""
        values = getattr(event.pdu, "presentation_data_value_items", ())
        self._held += sum(len(item.presentation_data_value) for item in values)
        if self._held > self._most and not self.too_large:
            self.too_large = True
            event.assoc.abort()

    def store(self, event: evt.Event) -> int:
        """A C-STORE sub-operation (PS3.4 section C.4.3): its status, success only once it is kept."""
        self._held = 0
        request: Any = event.request
        context = event.context
        with request.DataSet.getbuffer() as data_set:
            return self._keeping.take(
                str(request.AffectedSOPClassUID or ""),
                str(request.AffectedSOPInstanceUID or ""),
                str(context.abstract_syntax),
                str(context.transfer_syntax),
                data_set,
            )


def _offers(association: Association, what: str) -> bool:
    wanted = STUDY_ROOT_GET if what == "get" else STUDY_ROOT_MOVE
    return any(context.abstract_syntax == wanted for context in association.accepted_contexts)


def _matches(association: Association, level: str, keys: dict[str, str]) -> Iterator[Dataset]:
    """What an archive answers to a C-FIND.

    Raises:
        ArchiveFailed: it refused, or broke off.
    """
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    if any(not value.isascii() for value in keys.values()):
        identifier.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in keys.items():
        setattr(identifier, keyword, value or None)
    status = None
    try:
        for answer, match in association.send_c_find(identifier, STUDY_ROOT_FIND):
            status = answer.get("Status")
            if status in PENDING and match is not None:
                yield match
    except (RuntimeError, ValueError):
        raise ArchiveFailed("archive-broke-off", BROKEN_OFF) from None
    if status is None or status in PENDING:
        raise ArchiveFailed("archive-broke-off", BROKEN_OFF)
    if status != 0x0000:
        raise _refused(status)


def _outcome(operations: Iterator[Iterator[tuple[Dataset, Dataset | None]]]) -> Reason | None:
    """What the archive said of one operation after the other; of several warnings the last."""
    said = None
    try:
        for operation in operations:
            status = None
            for answer, _ in operation:
                status = answer.get("Status")
            if status is None or status in PENDING:
                raise ArchiveFailed("archive-broke-off", BROKEN_OFF)
            if status == 0xB000:
                said = reason_of_status(status)
            elif status != 0x0000:
                raise _refused(status)
    except (RuntimeError, ValueError):
        raise ArchiveFailed("archive-broke-off", BROKEN_OFF) from None
    return said


def _refused(status: int) -> ArchiveFailed:
    reason = reason_of_status(status)
    return ArchiveFailed(reason.code, reason.sentence, over=status in (0xA801, 0x0122, 0x0124))


def _require_fewer(count: int, most: int, what: str, remedy: str) -> None:
    if count > most:
        raise ArchiveFailed("archive-has-too-much", f"More than {most} {what}; {remedy}.")


def _of_study(study_instance_uid: str) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = study_instance_uid
    return identifier


def _identifiers(study_instance_uid: str, lacking: Sequence[Lacking]) -> Iterator[Dataset]:
    """A series of which nothing is here is asked for whole, others by their instances."""
    for series in lacking:
        identifier = _of_study(study_instance_uid)
        identifier.SeriesInstanceUID = series.series_instance_uid
        if series.whole:
            identifier.QueryRetrieveLevel = "SERIES"
            yield identifier
            continue
        for start in range(0, len(series.instances), _IN_LIST):
            part = _of_study(study_instance_uid)
            part.QueryRetrieveLevel = "IMAGE"
            part.SeriesInstanceUID = series.series_instance_uid
            part.SOPInstanceUID = [one.sop_instance_uid for one in series.instances[start : start + _IN_LIST]]
            yield part


def _study(answer: Dataset) -> FoundStudy:
    modalities = answer.get("ModalitiesInStudy") or ()
    count = _text(answer, "NumberOfStudyRelatedInstances")
    return FoundStudy(
        _text(answer, "StudyInstanceUID"),
        _text(answer, "PatientID"),
        _text(answer, "IssuerOfPatientID"),
        date_of(_text(answer, "StudyDate")),
        _text(answer, "StudyTime"),
        _text(answer, "StudyDescription"),
        (modalities,) if isinstance(modalities, str) else tuple(str(one) for one in modalities),
        int(count) if count.isascii() and count.isdigit() else None,
    )


def _text(answer: Dataset, keyword: str) -> str:
    """A value as text; whatever cannot be read is empty."""
    try:
        value = answer.get(keyword)
    except (ValueError, TypeError, NotImplementedError):
        return ""
    return "" if value is None else str(value).strip(" \0")
