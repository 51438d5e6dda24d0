"""Objects of ours that somebody verified, edited or rejected come back through the door, and are taken as a verdict."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    ComprehensiveSRStorage,
    ImplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    SegmentationStorage,
    generate_uid,
)

from listener.feedback import bounded_reading
from listener.feedback.bounded_reading import CutOff, NotPlain, ObjectTooLarge, read_attributes
from listener.feedback.look_out import LookOut
from listener.feedback.tracked_groups import tracked_groups
from listener.feedback.tracked_segments import TrackedSegment, tracked_segments
from listener.feedback.verdicts import look_at
from storage.domain.feedback import Feedback, FeedbackSource, Verdict
from storage.domain.result import EvidenceForm, EvidenceRole, NewResult
from storage.domain.returned_object import OwnObject, OwnResult, ReturnedObject, ReturnedOutcome, ReturnRule
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.engine import open_database
from storage.postgres.feedback_rows import PostgresFeedbackBook
from storage.postgres.returned_objects import PostgresReturnedObjects
from tests.conformance.every_evidence import BINARY_FORMS, Evidence, child, evidence_of_source, groups_of
from tests.integration.listener.conftest import Door
from tests.integration.postgres.conftest import Hospital
from tests.peers.dcmtk import run_storescu

Outcome = ReturnedOutcome


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    """Every object of a liver and a nodule on a CT."""
    return evidence_of_source("CT axial")


class Site:
    """A study with a result, its own door, and the duty that looks at what comes back."""

    def __init__(self, hospital: Hospital, door: Door, evidence: Evidence, folder: Path) -> None:
        self.hospital, self.door, self.evidence, self.folder = hospital, door, evidence, folder
        self.liver, self.nodule = (one.finding.tracking_uid for one in evidence.result.found)
        self.importer = door.importer(hospital.url)
        objects = ObjectStore(door.folder)
        self.look_out = LookOut(PostgresReturnedObjects(hospital.database), objects.verify, objects.evidence)

    def send(self, *objects: Dataset) -> None:
        """By DCMTK, as a PACS of the title PACS1, until there are rows of it."""
        paths = []
        for number, one in enumerate(objects):
            paths.append(self.folder / f"{number}.dcm")
            one.save_as(paths[-1], enforce_file_format=True)
        sent = run_storescu(self.door.port, paths, calling_ae_title="PACS1")
        assert sent.returncode == 0, sent.stderr
        self.importer.import_pending()

    def looks(self) -> list[ReturnedOutcome]:
        """What came of everything that waits."""
        outcomes = []
        while (outcome := self.look_out.look_once()) is not None:
            outcomes.append(outcome)
        return outcomes

    def verdicts(self) -> list[tuple[str, str, str]]:
        """Which finding, which verdict, who said it and by which kind of object."""
        names = {self.liver: "liver", self.nodule: "nodule"}
        rows = self.hospital.rows("SELECT tracking_uid, verdict, source, actor FROM feedback ORDER BY tracking_uid, id")
        assert all(actor == "PACS1" for *_, actor in rows)
        return sorted((names[uid], verdict, source) for uid, verdict, source, _ in rows)


@pytest.fixture
def site(database_url: str, open_door: Callable[..., Door], evidence: Evidence, tmp_path: Path) -> Iterator[Site]:
    """The result is stored as a worker stores it, with its objects frozen."""
    door = open_door()
    database = open_database(database_url, "test")
    hospital = Hospital(database_url, database, ObjectStore(DataFolder(door.folder.root)))
    hospital.install()
    source = evidence.context.sources[0]
    study = str(source.StudyInstanceUID)
    arrivals = [hospital.arrival(study, patient_id=str(source.PatientID))]
    hospital.receive(*arrivals)
    hospital.settle()
    findings = tuple(one.finding for one in evidence.result.found)
    used = (arrivals[0].header.sop_instance_uid,)
    result = NewResult("1.2.3.4", used, "b" * 64, "CPU", findings, "Text.", evidence.objects)
    hospital.queue.complete_analysed(hospital.claimed(), result, ())
    yield Site(hospital, door, evidence, tmp_path)
    hospital.queue.close()
    database.close()


def _again(data_set: Dataset, **changed: Any) -> Dataset:
    """A copy under a UID of its own, as an editor makes it."""
    made = deepcopy(data_set)
    for keyword, value in changed.items():
        setattr(made, keyword, value)
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return made


def _verified(report: Dataset) -> Dataset:
    """The next version of a report, verified by a person."""
    made = _again(report, VerificationFlag="VERIFIED")
    observer = Dataset()
    observer.VerifyingObserverName, observer.VerifyingOrganization = "Doe^Jane", "Radiology"
    observer.VerificationDateTime = "20260305101112"
    observer.VerifyingObserverIdentificationCodeSequence = []
    made.VerifyingObserverSequence = [observer]
    made.PredecessorDocumentsSequence = [_reference(report)]
    return made


def _reference(*objects: Dataset) -> Dataset:
    study = Dataset()
    study.StudyInstanceUID = objects[0].StudyInstanceUID
    study.ReferencedSeriesSequence = []
    for one in objects:
        series, instance = Dataset(), Dataset()
        series.SeriesInstanceUID = one.SeriesInstanceUID
        instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = one.SOPClassUID, one.SOPInstanceUID
        series.ReferencedSOPSequence = [instance]
        study.ReferencedSeriesSequence.append(series)
    return study


def _report(site: Site, form: str = "comprehensive-3d") -> Dataset:
    return next(data_set for one, data_set in site.evidence.read if one.form == form)


def _note(site: Site, title: str, *about: Dataset) -> Dataset:
    """A Key Object Selection with this title."""
    kept = next(data_set for one, data_set in site.evidence.read if one.form == "key-objects")
    note = _again(kept, Manufacturer="A PACS", ManufacturerModelName="A PACS")
    assert note.SOPClassUID == KeyObjectSelectionDocumentStorage
    note.ConceptNameCodeSequence[0].CodeValue = title
    note.CurrentRequestedProcedureEvidenceSequence = [_reference(*about)]
    return note


@pytest.mark.parametrize("form", ["comprehensive-3d", "comprehensive", "enhanced"])
def test_who_verifies_a_report_accepts_what_still_stands_in_it(site: Site, form: str) -> None:
    """One finding as we made it, one with another number, and in a third version one taken out."""
    verified = _verified(_report(site, form))
    changed = deepcopy(verified)
    (liver, nodule) = groups_of(changed)
    child(nodule, "118565006").MeasuredValueSequence[0].NumericValue = "99.5"

    site.send(changed)

    assert site.looks() == [Outcome.TAKEN]
    assert site.verdicts() == [("liver", "accept", "sr"), ("nodule", "changed", "sr")]
    ((uid, names),) = site.hospital.rows(
        "SELECT DISTINCT sop_instance_uid, actor || source || verdict FROM feedback WHERE verdict = 'accept'"
    )
    assert (uid, "Doe" in names) == (changed.SOPInstanceUID, False), "no person's name is kept"
    without = _verified(_report(site, form))
    measurements = next(item for item in without.ContentSequence if "ContentSequence" in item and liver)
    measurements.ContentSequence = [measurements.ContentSequence[0]]
    site.send(without)
    assert site.looks() == [Outcome.TAKEN]
    assert site.verdicts() == [
        ("liver", "accept", "sr"),
        ("liver", "accept", "sr"),
        ("nodule", "changed", "sr"),
        ("nodule", "reject", "sr"),
    ]


def test_what_nobody_verified_says_nothing(site: Site) -> None:
    """Our own report sent back, an unverified edition, a flag without an observer, and one that only cites ours."""
    report = _report(site)
    unverified = _verified(report)
    unverified.VerificationFlag = "UNVERIFIED"
    nobody = _verified(report)
    del nobody.VerifyingObserverSequence
    citing = _verified(report)
    del citing.PredecessorDocumentsSequence
    citing.ContentSequence = [item for item in citing.ContentSequence if "ContentSequence" not in item]
    text = _verified(_report(site, "basic-text"))
    text.PredecessorDocumentsSequence = [_reference(report)]

    site.send(report, unverified, nobody, citing, text)

    assert sorted(site.looks()) == sorted([Outcome.SAYS_NOTHING] * 4 + [Outcome.NOT_OURS])
    assert site.verdicts() == []


def test_a_report_verified_under_its_own_uid_is_taken(site: Site) -> None:
    """Some archives change the flag in place; the first copy that comes back is the verified one."""
    report = _report(site)
    verified = _verified(report)
    verified.SOPInstanceUID = verified.file_meta.MediaStorageSOPInstanceUID = report.SOPInstanceUID
    del verified.PredecessorDocumentsSequence

    site.send(verified)

    assert site.looks() == [Outcome.TAKEN]
    assert site.verdicts() == [("liver", "accept", "sr"), ("nodule", "accept", "sr")]


@pytest.mark.parametrize(
    ("title", "outcome"), [("113001", Outcome.TAKEN), ("113037", Outcome.TAKEN), ("113039", Outcome.SAYS_NOTHING)]
)
def test_a_rejection_note_rejects_what_its_objects_tell_of(site: Site, title: str, outcome: ReturnedOutcome) -> None:
    """Of a report both findings; an expired retention says nothing of them."""
    site.send(_note(site, title, _report(site)))

    assert site.looks() == [outcome]
    both = [("liver", "reject", "kos"), ("nodule", "reject", "kos")]
    assert site.verdicts() == (both if outcome is Outcome.TAKEN else [])


def test_a_note_rejects_no_more_than_it_names(site: Site) -> None:
    """Of an object of one segment that finding alone, of a picture none; a note of ours is nobody's opinion."""
    of_nodule = [data_set for one, data_set in site.evidence.read if "per-segment" in one.form][1]
    picture = next(data_set for one, data_set in site.evidence.read if one.form == "secondary-capture")
    own = _note(site, "113001", _report(site))
    own.Manufacturer = own.ManufacturerModelName = "Overread"
    elsewhere = _again(_report(site))

    site.send(_note(site, "113001", of_nodule), _note(site, "113001", picture), own, _note(site, "113001", elsewhere))

    assert sorted(site.looks()) == sorted([Outcome.TAKEN, Outcome.SAYS_NOTHING, Outcome.SAYS_NOTHING, Outcome.NOT_OURS])
    assert site.verdicts() == [("nodule", "reject", "kos")]


def test_a_segment_that_was_redrawn_is_changed(site: Site) -> None:
    """One voxel more in one of its frames; the other segment, and both where nobody drew, stay as they are."""
    seg = site.evidence.of_form(*BINARY_FORMS)
    same, other, renamed = _again(seg), _again(seg), _again(seg)
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    frame = next(
        number
        for number, groups in enumerate(seg.PerFrameFunctionalGroupsSequence)
        if groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 2
    )
    bits[frame * seg.Rows * seg.Columns] ^= 1
    other.PixelData = np.packbits(bits, bitorder="little").tobytes()
    renamed.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue = "64033007"

    site.send(same)
    assert (site.looks(), site.verdicts()) == ([Outcome.SAYS_NOTHING], [])
    site.send(other, renamed)

    assert site.looks() == [Outcome.TAKEN, Outcome.TAKEN]
    assert site.verdicts() == [("liver", "changed", "seg"), ("nodule", "changed", "seg")]


def test_frames_in_another_order_are_the_same_segmentation(site: Site) -> None:
    """An editor may sort frames by segment or by place, and leave out empty ones: nothing was redrawn."""
    seg = site.evidence.of_form(*BINARY_FORMS)
    turned = _again(seg)
    size = seg.Rows * seg.Columns
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")[: seg.NumberOfFrames * size]
    turned.PixelData = np.packbits(bits.reshape(-1, size)[::-1].ravel(), bitorder="little").tobytes()
    turned.PerFrameFunctionalGroupsSequence = list(reversed(seg.PerFrameFunctionalGroupsSequence))

    site.send(turned)

    assert (site.looks(), site.verdicts()) == ([Outcome.SAYS_NOTHING], [])


def test_what_cannot_be_compared_is_told_and_taken_for_nothing(site: Site) -> None:
    """A label map and a segmentation on another grid say neither yes nor no."""
    label_map = _again(next(data_set for one, data_set in site.evidence.read if one.form == "label-map"))
    label_map.decompress()
    label_map.SOPClassUID = label_map.file_meta.MediaStorageSOPClassUID = SegmentationStorage  # DCMTK knows no newer
    coarser = _again(site.evidence.of_form(*BINARY_FORMS))
    shared = coarser.SharedFunctionalGroupsSequence[0]
    shared.PixelMeasuresSequence[0].PixelSpacing = [1.6, 1.6]

    site.send(label_map, coarser)

    assert (site.looks(), site.verdicts()) == ([Outcome.NOT_COMPARABLE, Outcome.NOT_COMPARABLE], [])
    told = site.hospital.overview.explain(str(coarser.StudyInstanceUID))["returned"]
    assert [one["outcome"] for one in told] == ["not-comparable", "not-comparable"]


def test_hostile_objects_have_an_outcome_and_hold_up_no_other(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nested beyond measure, cut off, larger than what is read, or gone from the disk: the next one is looked at."""
    report = _report(site)
    deep = Dataset()
    for _ in range(100):
        outer = Dataset()
        outer.ContentSequence = [deep]
        deep = outer
    nested, gone, large, torn, last = (_verified(report) for _ in range(5))
    nested.ContentSequence = [deep]
    large.ContentSequence[0].add_new(0x0040A160, "UT", "x" * 200_000)
    torn_uid, gone_uid = torn.SOPInstanceUID, gone.SOPInstanceUID
    monkeypatch.setattr(bounded_reading, "MOST_ATTRIBUTE_BYTES", 150_000)
    site.send(nested, gone, large, torn, last)
    objects = ObjectStore(site.door.folder)
    objects.instance(gone_uid).unlink()
    kept = objects.instance(torn_uid)
    kept.chmod(0o600)
    kept.write_bytes(kept.read_bytes()[:-1000])

    assert len(site.looks()) == 5

    outcomes = dict(
        site.hospital.rows(
            "SELECT sop_instance_uid, outcome FROM returned_object JOIN instance ON instance.id = instance_id"
        )
    )
    seen = [outcomes[one.SOPInstanceUID] for one in (nested, gone, large, torn, last)]
    assert seen == ["unreadable", "missing", "too-large", "missing", "taken"]


def test_each_object_is_looked_at_once(site: Site) -> None:
    """Sent twice it is one instance and one verdict; who died looking is followed, three times at most."""
    verified = _verified(_report(site))
    site.send(verified)
    objects = PostgresReturnedObjects(site.hospital.database)
    first = objects.claim()
    assert first is not None
    assert objects.claim() is None, "somebody looks at it"
    forget = "UPDATE returned_object SET claimed_at = now() - interval '1 day'"
    site.hospital.rows(forget)
    assert site.looks() == [Outcome.TAKEN]
    site.send(verified)
    assert site.looks() == []
    mind = Feedback(1, site.liver, Verdict.REJECT, FeedbackSource.DASHBOARD, "PACS1")
    PostgresFeedbackBook(site.hospital.database).give(first.study_instance_uid, mind)
    objects.settle(first, site.look_out._safely(first))  # the dead one comes late, and after a changed mind
    assert len(site.verdicts()) == 3

    site.send(_verified(_report(site)))
    for _ in range(3):
        assert objects.claim() is not None
        site.hospital.rows(forget)
    assert site.looks() == []
    ((outcome,),) = site.hospital.rows("SELECT outcome FROM returned_object ORDER BY instance_id DESC LIMIT 1")
    assert outcome == Outcome.GIVEN_UP


def test_a_report_about_another_study_s_findings_changes_nothing(site: Site) -> None:
    """Only the results of the study that it belongs to can be spoken of, and a study without any is not read."""
    foreign = _verified(_report(site))
    foreign.StudyInstanceUID = generate_uid()
    foreign.SeriesInstanceUID = generate_uid()

    site.send(foreign)

    assert (site.looks(), site.verdicts()) == ([Outcome.NOT_OURS], [])


def test_images_never_wait_to_be_looked_at(site: Site) -> None:
    """Only reports, key objects and segmentations that came back do."""
    ((instances, waiting),) = site.hospital.rows(
        "SELECT (SELECT count(*) FROM instance), (SELECT count(*) FROM returned_object)"
    )
    assert (instances, waiting) == (1, 0)
    picture = next(data_set for one, data_set in site.evidence.read if one.form == "secondary-capture")
    site.send(picture, dcmread(BytesIO(site.evidence.objects[0].part10)))
    assert site.looks() == [Outcome.SAYS_NOTHING]


def test_an_object_that_ends_too_early_is_not_read(site: Site, tmp_path: Path) -> None:
    """What was cut off its end would look as if somebody had taken it out, wherever the cut is."""
    whole, path = BytesIO(), tmp_path / "cut.dcm"
    _verified(_report(site)).save_as(whole, enforce_file_format=True)
    path.write_bytes(whole.getvalue())
    assert len(tracked_groups(read_attributes(path))) == 2

    for missing in (1, 8, 500, 5000):
        path.write_bytes(whole.getvalue()[:-missing])
        with pytest.raises(CutOff):
            tracked_groups(read_attributes(path))


def test_an_object_of_empty_items_is_not_read(tmp_path: Path) -> None:
    """Eight bytes make a data set in memory: a report of a million of them would take the importer's."""
    path, whole = tmp_path / "items.dcm", BytesIO()
    report = Dataset()
    report.file_meta = FileMetaDataset()
    report.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = ComprehensiveSRStorage
    report.SOPInstanceUID = report.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    report.save_as(whole, enforce_file_format=True)
    item, end = b"\xfe\xff\x00\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"
    content = b"\x40\x00\x30\xa7\xff\xff\xff\xff" + item * (bounded_reading.MOST_ITEMS + 1) + end
    path.write_bytes(whole.getvalue() + content)

    with pytest.raises(ObjectTooLarge):
        read_attributes(path)


def test_who_verifies_a_newer_report_of_ours_says_nothing_of_the_older(evidence: Evidence, tmp_path: Path) -> None:
    """Our second report names our first as its predecessor, and still does when it is verified under its own UID.

    What stands in the first alone, on fewer images, was rejected by nobody.
    """
    older = next(data_set for one, data_set in evidence.read if one.form == "comprehensive-3d")
    newer = _again(older, PredecessorDocumentsSequence=[_reference(older)])
    for number, group in enumerate(groups_of(newer)):
        child(group, "112040").UID = f"1.2.3.{number}"
    verified = _verified(newer)
    verified.SOPInstanceUID = verified.file_meta.MediaStorageSOPInstanceUID = newer.SOPInstanceUID
    verified.PredecessorDocumentsSequence = newer.PredecessorDocumentsSequence
    for name, data_set in (("older", older), ("newer", newer), ("verified", verified)):
        data_set.save_as(tmp_path / name, enforce_file_format=True)
    results = tuple(
        OwnResult(
            number,
            frozenset(tracked_groups(data_set)),
            (OwnObject(EvidenceRole.REPORT, EvidenceForm.COMPREHENSIVE_3D, data_set.SOPInstanceUID, name),),
        )
        for number, name, data_set in ((2, "newer", newer), (1, "older", older))
    )
    uid, kind = newer.SOPInstanceUID, newer.SOPClassUID
    returned = ReturnedObject(1, uid, kind, newer.StudyInstanceUID, "PACS1", "0" * 64, 1000, True, results)

    look = look_at(returned, tmp_path / "verified", lambda name: tmp_path / name)

    assert {(said.result_id, said.rule) for said in look.said} == {(2, ReturnRule.VERIFIED_AS_MADE)}


def test_frames_that_share_bytes_are_compared_bit_by_bit() -> None:
    """Of a matrix of nine pixels the second frame begins within a byte; exchanged, both are still the same frames."""

    def segments(*drawn: tuple[int, str]) -> dict[str, TrackedSegment]:
        data_set, segment, kind, shared = Dataset(), Dataset(), Dataset(), Dataset()
        kind.CodeValue, kind.CodingSchemeDesignator = "10200004", "SCT"
        segment.SegmentNumber, segment.TrackingUID = 1, "2.25.1"
        segment.SegmentedPropertyTypeCodeSequence = [kind]
        identified = Dataset()
        identified.ReferencedSegmentNumber = 1
        shared.SegmentIdentificationSequence = [identified]
        data_set.SegmentationType, data_set.Rows, data_set.Columns, data_set.BitsAllocated = "BINARY", 3, 3, 1
        data_set.SegmentSequence, data_set.SharedFunctionalGroupsSequence = [segment], [shared]
        frames = []
        for _, height in drawn:
            frame, place = Dataset(), Dataset()
            place.ImagePositionPatient = ["0", "0", height]
            frame.PlanePositionSequence = [place]
            frames.append(frame)
        data_set.PerFrameFunctionalGroupsSequence = frames
        bits = sum(pattern << (9 * number) for number, (pattern, _) in enumerate(drawn))
        return tracked_segments(data_set, bits.to_bytes(4, "little"))

    made = segments((0b100000001, "1"), (0b000010011, "2"))
    assert made == segments((0b000010011, "2"), (0b100000001, "1"), (0, "3"))
    assert made != segments((0b100000001, "1"), (0b000010010, "2"))
    with pytest.raises(NotPlain):
        segments(*((1, str(height)) for height in range(4)))
