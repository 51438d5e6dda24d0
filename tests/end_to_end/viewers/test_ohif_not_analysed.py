"""What a radiologist reads of a "Not analysed" report in OHIF, over Orthanc's DICOMweb server and over our own."""

from inference.evidence.attributes import series_number
from inference.evidence.not_analysed_report import NO_STATEMENT, SeriesLookedAt, build_not_analysed_report
from inference.evidence.result_uids import USUAL_NAMING
from storage.domain.job import Reason
from storage.domain.result import EvidenceRole
from tests.conformance.source_series import SourceSeries, make_context, make_series
from tests.end_to_end.viewers.conftest import Station, part10
from tests.peers.ohif import Ohif


def test_a_report_of_no_result_is_a_page_of_text(desk: Station, reading: list[Ohif]) -> None:
    """The report opens as text that says what was not done and why, and the images open after it as before."""
    images = make_series(SourceSeries(shape=(8, 96, 80), study_uid="1.2.826.0.1.3680043.8.498.61"))
    context = make_context(images)
    why = Reason("body-part-not-accepted", "Body Part Examined is CHEST; Sample organ finder takes HEAD.")
    series = (SeriesLookedAt(str(images[0].SeriesInstanceUID), "CT", int(images[0].SeriesNumber), len(images), why),)
    report = build_not_analysed_report(context, why, series)
    desk.archive.store([*(part10(image) for image in images), report.part10])
    window = desk.read(str(images[0].StudyInstanceUID))
    reading.append(window)

    window.choose(series_number(USUAL_NAMING, EvidenceRole.REPORT))

    for words in (
        "NOT ANALYSED by Sample organ finder 1.2.3.",
        NO_STATEMENT,
        "Research use only. Not verified by a physician.",
        "The images are of a body part that the algorithm does not take.",
        why.sentence,
        "Body part not taken",
    ):
        window.wait_until(lambda words=words: words in window.page.inner_text("body"), f"the words {words!r}")
    window.shoot(f"{desk.archive.name}-not-analysed")
    assert window.alarms() == []
    window.show_images(int(images[0].SeriesNumber), str(images[0].SeriesInstanceUID))
    window.wait_for_picture()
