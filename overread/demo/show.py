"""What the demonstration shows at its end: times, report, pictures."""

from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from overread.demo.head_study import HeadStudy
from overread.errors import DemoFailed
from storage.objects.object_store import ObjectStore
from storage.postgres.overview import Overview

# The mask of a brain extraction holds the brain, the ventricles and part of the fluid around it. It should therefore
# lie between the volume of the brain tissue and that of the whole intracranial space. Means and standard deviations
# of 133 healthy adults: https://pmc.ncbi.nlm.nih.gov/articles/PMC10511609/, table 1.
_LITERATURE = (
    "For comparison, 133 healthy adults (PMC10511609, table 1), mean ± standard deviation:\n"
    "  brain tissue        women 1,068 ± 88 ml   men 1,162 ± 130 ml\n"
    "  intracranial space  women 1,393 ± 91 ml   men 1,538 ± 137 ml\n"
    "The mask holds brain, ventricles and part of the fluid around it, so it should lie between the two; this\n"
    "head is a large one, {deviations:+.1f} standard deviations from the mean intracranial space of men."
)
_MEN_MEAN_ML, _MEN_DEVIATION_ML = 1538.2, 137.3
_PLAUSIBLE_ML = (1067.7 - 2 * 88.1, _MEN_MEAN_ML + 2 * _MEN_DEVIATION_ML)


def show_result(
    console: Console,
    overview: Overview,
    objects: ObjectStore,
    study: HeadStudy,
    told: dict[str, Any],
    output: Path,
) -> None:
    """Print the times and the report, and write report and pictures into ``output``.

    Raises:
        DemoFailed: the measured volume is not that of a human brain.
    """
    (result,) = overview.report(study.study_instance_uid)
    _print_times(console, told)
    console.print(f"\n{result['report_text'].rstrip()}\n", markup=False)
    volume = _brain_volume(result)
    console.print(_LITERATURE.format(deviations=(volume - _MEN_MEAN_ML) / _MEN_DEVIATION_ML), markup=False)
    if not _PLAUSIBLE_ML[0] < volume < _PLAUSIBLE_ML[1]:
        raise DemoFailed(f"A brain of {volume:,.0f} ml is not plausible; please report this.")
    report = output / "report.txt"
    report.write_text(result["report_text"], encoding="utf-8")
    pictures = _write_pictures(result, objects, output)
    console.print("\nReport and pictures:")
    for path in (report, *pictures):
        console.print(f"  {path}", markup=False)


def _write_pictures(result: dict[str, Any], objects: ObjectStore, output: Path) -> list[Path]:
    """The pictures of the result, as the dashboard shows them."""
    paths = []
    for picture in result["pictures"]:
        path = output / f"overlay-{picture['title'].lower()}.png"
        path.write_bytes(objects.evidence(picture["sha256"]).read_bytes())
        paths.append(path)
    return paths


def _print_times(console: Console, told: dict[str, Any]) -> None:
    start = datetime.fromisoformat(told["first_received_at"])
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, justify in (("step", "left"), ("at (UTC)", "left"), ("after", "right")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for step, key in (
        (f"received, {told['instances']} images", "last_received_at"),
        ("stable", "stable_at"),
        ("inferred", "inferred_at"),
        ("delivered", "delivered_at"),
    ):
        at = datetime.fromisoformat(told[key])
        table.add_row(step, f"{at:%H:%M:%S}", f"{(at - start).total_seconds():.1f} s")
    console.print()
    console.print(table)


def _brain_volume(result: dict[str, Any]) -> float:
    """The volume in ml that the report states."""
    for finding in result["findings"]:
        for measurement in finding["measurements"]:
            if measurement["unit"]["value"].lower() in ("ml", "cm3"):
                return float(measurement["value"])
    raise DemoFailed("The report states no volume; please report this.")
