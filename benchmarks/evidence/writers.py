"""One writer, once, in this process: prints seconds, peak memory above what was there before, and the file's size.

Run by bench_evidence.py as ``writers.py WHAT WRITER COUNT FOLDER``.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

import highdicom.sr as sr  # noqa: E402
import numpy as np  # noqa: E402
from highdicom import AlgorithmIdentificationSequence  # noqa: E402
from highdicom.seg import Segmentation  # noqa: E402
from highdicom.seg import SegmentDescription as PlainDescription  # noqa: E402
from highdicom.uid import UID  # noqa: E402
from pydicom import Dataset, dcmread  # noqa: E402
from pydicom.sr.codedict import codes  # noqa: E402

from evidence.samples import (  # noqa: E402
    describe,
    make_structures,
    read_sources,
    voxels_of,
    write_for_dcmqi,
)
from inference.evidence.build import build_evidence  # noqa: E402
from inference.evidence.codes import item_code  # noqa: E402
from inference.evidence.measurement_report import build_measurement_reports  # noqa: E402
from inference.evidence.outline import outline  # noqa: E402
from inference.evidence.segment_findings import Labels, pair  # noqa: E402
from inference.evidence.segmentation import build_segmentation  # noqa: E402
from storage.domain.result import EvidenceForm  # noqa: E402
from tests.conformance.source_series import SourceSeries, make_context, make_findings, make_series  # noqa: E402

_MIB = 1024 * 1024
_REPORT_SHAPE = (40, 64, 256)  # wide enough for a voxel of each structure


def main() -> None:
    """Write, tell, compare."""
    what, writer, count, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    output = folder / f"{writer}.dcm"
    if what == "segmentation":
        _segmentation(writer, count, folder, output)
    else:
        _report(writer, count, output)


def _segmentation(writer: str, count: int, folder: Path, output: Path) -> None:
    sources, labels = read_sources(folder / "sources"), make_structures(count)
    if writer != "dcmqi":  # what a service does once in its life, such as loading tables, is not measured
        small = make_series(SourceSeries())
        _writer(writer, small, make_structures(2, (6, 24, 32)), 2, folder, output)()
    figures = _timed(_writer(writer, sources, labels, count, folder, output), output)
    figures["equal"] = bool(np.array_equal(voxels_of(dcmread(output), sources), labels))
    print(json.dumps(figures))


def _writer(
    writer: str, sources: tuple[Dataset, ...], labels: Labels, count: int, folder: Path, output: Path
) -> Callable[[], None]:
    if writer == "ours":
        context, segments = make_context(sources), describe(count)
        findings = make_findings(context, labels, segments)

        def write() -> None:
            _write(output, build_segmentation(context, labels, pair(labels, segments, findings)).pieces)

    elif writer == "highdicom":

        def write() -> None:
            _plain_segmentation(sources, labels, count).save_as(output)

    else:
        image, metadata = write_for_dcmqi(labels, sources, folder)
        command = ["itkimage2segimage", "--inputImageList", str(image), "--inputDICOMDirectory"]
        command += [str(folder / "sources"), "--inputMetadata", str(metadata), "--outputDICOM", str(output), "--skip"]

        def write() -> None:
            subprocess.run(command, check=True, capture_output=True)

    return write


def _plain_segmentation(sources: tuple[Dataset, ...], labels: Labels, count: int) -> Segmentation:
    algorithm = AlgorithmIdentificationSequence("benchmark", codes.DCM.ArtificialIntelligence, "1")
    return Segmentation(
        source_images=sources,
        pixel_array=labels,
        segmentation_type="BINARY",
        segment_descriptions=[
            PlainDescription(
                one.number, one.label, item_code(one.category), item_code(one.type), "AUTOMATIC", algorithm
            )
            for one in describe(count)
        ],
        series_instance_uid=UID(),
        series_number=9001,
        sop_instance_uid=UID(),
        instance_number=1,
        manufacturer="benchmark",
        manufacturer_model_name="benchmark",
        software_versions="1",
        device_serial_number="1",
    )


def _report(writer: str, count: int, output: Path) -> None:
    labels, segments = make_structures(count, _REPORT_SHAPE), describe(count)
    context = make_context(make_series(SourceSeries(shape=_REPORT_SHAPE)))
    findings = make_findings(context, labels, segments)
    found = pair(labels, segments, findings)
    segmentation = build_evidence(context, labels, segments, findings)[0]

    def write() -> None:
        if writer == "ours":
            [report] = build_measurement_reports(context, labels, found, segmentation, {EvidenceForm.COMPREHENSIVE_3D})
            _write(output, report.pieces)
        else:
            _plain_report(context.sources, labels, count).save_as(output)

    figures = _timed(write, output)
    report = dcmread(output)
    groups = next(item for item in report.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "126010")
    figures["equal"] = len(groups.ContentSequence) == count
    print(json.dumps(figures))


def _plain_report(sources: tuple[Dataset, ...], labels: Labels, count: int) -> sr.Comprehensive3DSR:
    groups = [_plain_group(sources, labels, number) for number in range(1, count + 1)]
    person = sr.ObserverContext(codes.DCM.Person, sr.PersonObserverIdentifyingAttributes(name="Bench^Mark"))
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_person_context=person),
        procedure_reported=codes.cid100.CTUnspecifiedBodyRegion,
        imaging_measurements=groups,
    )
    return sr.Comprehensive3DSR(
        evidence=sources,
        content=content,
        series_instance_uid=UID(),
        series_number=9002,
        sop_instance_uid=UID(),
        instance_number=1,
        manufacturer="benchmark",
    )


def _plain_group(
    sources: tuple[Dataset, ...], labels: Labels, number: int
) -> sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
    mask = labels == number
    index = int(np.argmax(np.count_nonzero(mask, axis=(1, 2))))
    source = sr.SourceImageForRegion(sources[index].SOPClassUID, sources[index].SOPInstanceUID)
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(UID(), f"Structure {number}"),
        referenced_regions=[sr.ImageRegion("POLYLINE", outline(mask[index]), source)],
        finding_type=item_code(describe(number)[-1].type),
        algorithm_id=sr.AlgorithmIdentification("benchmark", "1"),
        measurements=[
            sr.Measurement(codes.SCT.Volume, float(np.count_nonzero(mask)), codes.UCUM.CubicMillimeter),
            sr.Measurement(codes.DCM.AttenuationCoefficient, -12.0, codes.UCUM.HounsfieldUnit),
        ],
    )


def _write(output: Path, pieces: Iterable[bytes]) -> None:
    with output.open("wb") as file:
        for piece in pieces:
            file.write(piece)


def _timed(write: Callable[[], None], output: Path) -> dict[str, float]:
    output.unlink(missing_ok=True)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins again at what is there now
    before = _memory("VmRSS")
    begun = time.perf_counter()
    write()
    seconds = time.perf_counter() - begun
    own = _memory("VmHWM") - before
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return {
        "seconds": seconds,
        "peak_mib": max(own, children) / _MIB,
        "file_mib": output.stat().st_size / _MIB,
    }


def _memory(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"{name} is not in /proc/self/status; this benchmark needs Linux.")


if __name__ == "__main__":
    main()
