"""An archive that is asked by QIDO-RS and gives by WADO-RS (PS3.18 sections 10.6 and 10.4)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import quote, urlencode

from listener.scu.query.archive import BROKEN_OFF, ArchiveFailed, Lacking, require_uids, unreached
from listener.scu.query.archive_settings import ArchiveSettings
from listener.scu.query.matching import QUERY_KEYS, FoundSeries, FoundStudy, ListedInstance, StudyQuery, date_of
from listener.scu.web.access import Caller, access_to
from listener.scu.web.dicom_json import DataSet, data_sets, number, text, texts
from listener.scu.web.line import Stream, Unanswered, WebDeadlines, WebLine
from listener.web.intake import InstanceTooLarge, Intake, TooManySetAside
from listener.web.multipart_reader import MalformedMultipart, MultipartReader, content_type_of
from listener.web.set_aside_allowance import AllowanceSpent
from storage.domain.identifiers import is_uid
from storage.domain.job import Reason

_JSON = "application/dicom+json"
_DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_PAGE = 500  # answers that are asked for at a time
_MOST_PAGE_BYTES = 1 << 25
_MOST_INSTANCES = 2**31 - 1
_SERIES_TAGS = {
    "Modality": "00080060",
    "BodyPartExamined": "00180015",
    "SeriesDescription": "0008103E",
    "ProtocolName": "00181030",
}
_STUDY_TAGS = ("00100021", "00081030", "00080061", "00201208")
_UNREADABLE = "The archive answered the search with what is no DICOM JSON, or with too much of it; check url."
_NOT_MULTIPART = "The archive gave what is no multipart/related of DICOM files; check url in its [[archives]] entry."


class WebArchive:
    """Implements the port Archive; what it is shown of who we are is kept from one call to the next."""

    def __init__(
        self,
        settings: ArchiveSettings,
        intake: Callable[[], Intake],
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """``intake`` begins to take what one request brings."""
        self._settings = settings
        self._place = settings.place()
        self._access = access_to(self._place)
        self._intake = intake
        self._stopped = stopped

    def find_studies(self, query: StudyQuery, most: int) -> list[FoundStudy]:
        """The studies that it has for the keys that a study has."""
        parameters = [*query.of_study.items(), *(("includefield", tag) for tag in _STUDY_TAGS)]
        found: dict[str, FoundStudy] = {}
        with self._calling() as caller:
            for answer in self._searched(caller, "studies", parameters):
                study = _study(answer)
                if is_uid(study.study_instance_uid) and query.holds(study):
                    found[study.study_instance_uid] = study
                if len(found) > most:
                    raise ArchiveFailed("archive-has-too-much", f"More than {most} studies match; narrow the query.")
        return list(found.values())

    def find_series(self, study_instance_uid: str) -> list[FoundSeries]:
        """The series of a study."""
        parameters = [("includefield", tag) for tag in _SERIES_TAGS.values()]
        found: list[FoundSeries] = []
        with self._calling() as caller:
            answers = self._searched(caller, f"studies/{quote(study_instance_uid)}/series", parameters)
            for one in answers:
                found.append(
                    FoundSeries(text(one, "0020000E"), {key: text(one, tag) for key, tag in _SERIES_TAGS.items()})
                )
                self._require_fewer(len(found), "series are listed")
        require_uids(one.series_instance_uid for one in found)
        return found

    def list_instances(self, study_instance_uid: str) -> list[ListedInstance]:
        """Every instance that it has of a study."""
        found: dict[str, ListedInstance] = {}
        with self._calling() as caller:
            for answer in self._searched(caller, f"studies/{quote(study_instance_uid)}/instances", []):
                series, uid = text(answer, "0020000E"), text(answer, "00080018")
                if text(answer, "0020000D") in ("", study_instance_uid):
                    require_uids((series, uid))
                    found[uid] = ListedInstance(series, uid, text(answer, "00080016"))
                self._require_fewer(len(found), "instances are listed")
        return list(found.values())

    def retrieve(self, study_instance_uid: str, lacking: Sequence[Lacking], whole: bool) -> Reason | None:
        """Have these come, as multipart answers that are kept piece by piece."""
        study = f"studies/{quote(study_instance_uid)}"
        paths = [study] if whole else list(_paths(study, lacking))
        said = None
        with self._calling() as caller:
            for path in paths:
                said = self._taken(caller, path, study_instance_uid) or said
        return said

    def _require_fewer(self, count: int, what: str) -> None:
        most = self._settings.most_instances_per_study
        if count > most:
            raise ArchiveFailed("archive-has-too-much", f"More than {most} {what}; raise most_instances_per_study.")

    @contextmanager
    def _calling(self) -> Iterator[Caller]:
        settings = self._settings
        deadlines = WebDeadlines(
            settings.connect_seconds, answer=settings.answer_seconds, total=settings.longest_transfer_seconds
        )
        with WebLine(self._stopped, self._place, deadlines) as line:
            yield Caller(line, self._access)

    def _searched(self, caller: Caller, path: str, parameters: Sequence[tuple[str, str]]) -> Iterator[DataSet]:
        """Every answer, page by page; one that brings nothing new ends it.

        A page that is shorter than was asked for ends nothing: servers give at most what suits them.
        """
        seen: set[str] = set()
        short = False
        while True:
            page = [*parameters, ("limit", str(_PAGE)), ("offset", str(len(seen)))]
            try:
                answers = self._page(caller, f"{self._base()}/{path}?{urlencode(page)}", of_one=path != "studies")
            except ArchiveFailed:
                if short:  # there was no more, and it says so by refusing
                    return
                raise
            fresh = [one for one in answers if _key(one) not in seen]
            seen.update(_key(one) for one in fresh)
            yield from fresh
            if not fresh:
                return
            short = len(answers) < _PAGE

    def _page(self, caller: Caller, url: str, of_one: bool) -> list[DataSet]:
        """The answers; of one study some archives say 404 where they do not have it."""
        try:
            reply = caller.ask("GET", url, {"Accept": _JSON}, most_bytes=_MOST_PAGE_BYTES)
        except Unanswered as unanswered:
            raise unreached(unanswered.why) from None
        if reply.status == 204 or (reply.status == 404 and of_one):
            return []
        if reply.status != 200:
            raise _refused(reply.status)
        found = data_sets(reply.body)
        if found is None:
            raise ArchiveFailed("archive-unreadable", _UNREADABLE, over=True)
        return found

    def _taken(self, caller: Caller, path: str, study_instance_uid: str) -> Reason | None:
        try:
            with caller.reading(f"{self._base()}/{path}", {"Accept": _DICOM}) as stream:
                if stream.status == 404:
                    return Reason("archive-gave-less", "The archive does not have all that it lists (404).")
                if stream.status not in (200, 206):
                    raise _refused(stream.status)
                asyncio.run(self._take_all(stream, study_instance_uid))
        except Unanswered as unanswered:
            raise unreached(unanswered.why) from None
        return None

    async def _take_all(self, stream: Stream, study_instance_uid: str) -> None:
        told = content_type_of(stream.content_type)
        if told.media_type != "multipart/related":
            raise ArchiveFailed("archive-unreadable", _NOT_MULTIPART, over=True)
        intake, broken = self._intake(), "The archive's answer did not come to its end."
        try:
            reader = MultipartReader(_as_they_come(stream.pieces), told.parameters.get("boundary", ""))
            async for part in reader.parts():
                await intake.take(part.chunks, study_instance_uid)
            broken = ""
        except MalformedMultipart:
            raise ArchiveFailed("archive-broke-off", BROKEN_OFF) from None
        except (InstanceTooLarge, TooManySetAside, AllowanceSpent) as error:
            raise ArchiveFailed("instances-refused", str(error)) from None
        finally:
            await intake.close(broken)

    def _base(self) -> str:
        return self._settings.url.rstrip("/")


async def _as_they_come(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Nothing else runs meanwhile, so it may block."""
    for piece in pieces:
        yield piece


def _paths(study: str, lacking: Sequence[Lacking]) -> Iterator[str]:
    for series in lacking:
        path = f"{study}/series/{quote(series.series_instance_uid)}"
        if series.whole:
            yield path
        else:
            yield from (f"{path}/instances/{quote(one.sop_instance_uid)}" for one in series.instances)


def _key(answer: DataSet) -> str:
    return " ".join(text(answer, tag) for tag in ("0020000D", "0020000E", "00080018"))


def _study(answer: DataSet) -> FoundStudy:
    return FoundStudy(
        text(answer, "0020000D"),
        text(answer, QUERY_KEYS["PatientID"].tag),
        text(answer, QUERY_KEYS["IssuerOfPatientID"].tag),
        date_of(text(answer, QUERY_KEYS["StudyDate"].tag)),
        text(answer, "00080030"),
        text(answer, QUERY_KEYS["StudyDescription"].tag),
        tuple(texts(answer, QUERY_KEYS["ModalitiesInStudy"].tag)),
        number(answer, "00201208", _MOST_INSTANCES),
    )


# The first row that holds the status decides.
_REFUSALS: tuple[tuple[int, int, str, str], ...] = (
    (300, 399, "archive-redirects", "The archive redirects us (3xx), which is not followed; correct url."),
    (
        401,
        401,
        "archive-forbids",
        "The archive does not accept our credentials, or wants some (401); correct its [[archives]] entry.",
    ),
    (403, 403, "archive-forbids", "The archive does not allow us to ask for this (403); allow it there."),
    (404, 405, "archive-lacks-service", "The archive has no such service at its url (404 or 405); correct url."),
    (406, 406, "archive-lacks-service", "The archive does not give DICOM files over the web (406); enable it there."),
    (429, 429, "archive-busy", "The archive got too many requests (429); ask again later."),
    (400, 499, "archive-refused", "The archive refused what was asked for (4xx); look into its log."),
    (500, 599, "archive-failed", "The archive failed, or what stands before it did (5xx); ask again later."),
    (0, 999, "archive-refused", "The archive answered with a status that it should not; check url."),
)


# What another study would be answered as well.
_OF_ALL = frozenset({401, 403, 405, 406, 429, 502, 503, 504})


def _refused(status: int) -> ArchiveFailed:
    code, sentence = next((code, sentence) for first, last, code, sentence in _REFUSALS if first <= status <= last)
    return ArchiveFailed(code, sentence, over=status in _OF_ALL)
