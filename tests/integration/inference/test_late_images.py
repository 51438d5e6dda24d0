"""Late images end to end in the worker: what is frozen of the second result names the first one."""

from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread

from listener.scu.delivery_worker import DeliveryWorker
from listener.scu.settings import DestinationSettings
from listener.scu.store import StoreScu
from storage.domain.result import EvidenceForm
from storage.domain.viewer_profile import ANY, own_profile
from storage.postgres.delivery_log import PostgresDeliveryLog
from storage.settings import JobSettings
from tests.integration.inference.conftest import Site
from tests.peers.recording_pacs import RecordingPacs
from tests.peers.synthetic_series import slice_headers, with_pixels
from tests.peers.tiny_algorithm import write_tiny_algorithm


def _reports(site: Site) -> list[Dataset]:
    rows = site.rows("SELECT sha256 FROM evidence WHERE role = 'report' ORDER BY result_id")
    return [dcmread(Path(site.objects.evidence(sha256))) for (sha256,) in rows]


def test_the_report_on_late_images_names_its_predecessor(site: Site) -> None:
    """Six slices, then two more: report 2 has a Predecessor Documents Sequence with report 1 alone, report 1 has none,
    the text says when and on how many images, and the row of the result says the same (F10)."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    values = np.zeros((8, 8, 8))
    values[3, 1:3, 1:5] = 500
    images = with_pixels(slice_headers(count=8, size=(8, 8)), values)

    with site.worker():
        site.receive(images[:6])
        site.wait_for(lambda: site.rows("SELECT count(*) FROM result") == [(1,)])
        site.receive(images[6:])
        site.wait_for(lambda: site.rows("SELECT count(*) FROM result") == [(2,)])

    first, second = _reports(site)
    assert "PredecessorDocumentsSequence" not in first
    (study,) = second.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    (named,) = series.ReferencedSOPSequence
    assert study.StudyInstanceUID == first.StudyInstanceUID
    assert series.SeriesInstanceUID == first.SeriesInstanceUID
    assert named.ReferencedSOPClassUID == first.SOPClassUID
    assert named.ReferencedSOPInstanceUID == first.SOPInstanceUID != second.SOPInstanceUID
    ((before, none), (after, followed)) = site.rows("SELECT report_text, predecessor_id FROM result ORDER BY id")
    assert none is None
    assert site.rows("SELECT min(id) FROM result") == [(followed,)]
    assert "Follows" not in before
    ((moment,),) = site.rows("SELECT min(started_at) FROM job WHERE kind = 'inference'")
    assert f"Follows       the result of {moment.astimezone():%Y-%m-%d %H:%M:%S}" in after
    assert "on 6 images; the study has changed since" in after


def test_an_archive_that_hides_things_is_told_what_to_hide(site: Site, recording_pacs: RecordingPacs) -> None:
    """What it acknowledged of the first result is named by a note that comes last with the second, and only to it."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    values = np.zeros((8, 8, 8))
    values[3, 1:3, 1:5] = 500
    images = with_pixels(slice_headers(count=8, size=(8, 8)), values)
    hides = own_profile("hides", ANY, further=((EvidenceForm.REJECTION_NOTE,),))
    where = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": recording_pacs.port, "profile": "hides"}
    log, sender = PostgresDeliveryLog(site.database, site.objects), StoreScu("OVERREAD", profiles={"hides": hides})
    delivery = DeliveryWorker(
        site.queue, log, {"pacs": DestinationSettings.model_validate(where)}, sender, JobSettings(), "test"
    )

    with site.worker(lambda job: site.analyse(job, hides)):
        site.receive(images[:6])
        site.wait_for(lambda: site.rows("SELECT count(*) FROM result") == [(1,)])
        recording_pacs.answer(0x0000, 0xC000)
        assert delivery.deliver_one()
        first = [uid for uid, _ in recording_pacs.received]
        refused = first.pop(1)
        site.receive(images[6:])
        site.wait_for(lambda: site.rows("SELECT count(*) FROM result") == [(2,)])
        assert delivery.deliver_one()

    *others, last = [uid for uid, _ in recording_pacs.received[len(first) + 1 :]]
    ((note, sha256),) = site.rows("SELECT sop_instance_uid, sha256 FROM evidence WHERE role = 'rejection-note'")
    (study,) = dcmread(Path(site.objects.evidence(sha256))).CurrentRequestedProcedureEvidenceSequence
    items = [item for one in study.ReferencedSeriesSequence for item in one.ReferencedSOPSequence]
    named = [item.ReferencedSOPInstanceUID for item in items]
    assert last == note
    assert sorted(named) == sorted(first)
    assert refused not in named
    assert not {*first} & {*others}
