"""The evaluation report: one HTML file that asks nothing of the network."""

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from training.evaluation.judgement import Judgement
from training.evaluation.pictures import evidence_picture, histogram_picture, reliability_picture, roc_picture
from training.evaluation.predictions import Predictions
from training.learning.run_folder import CURVES_NAME, Run

_EACH = 8  # images of each kind in the gallery

FIGURE_NAMES = {
    "auroc": "AUROC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "brier": "Brier score",
    "calibration_offset": "Mean probability - share positive",
    "calibration_error": "Calibration error (ECE)",
}


@dataclass(frozen=True, slots=True)
class _Exhibit:
    file: str
    group: int
    probability: float
    picture: str


def write_report(path: Path, run: Run, judgement: Judgement, test: Predictions, rule: str) -> None:
    """Write the report of one run."""
    environment = Environment(
        loader=PackageLoader("training.evaluation", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["figure"] = lambda value: f"{value:.3f}"
    negative, positive = run.dataset.description.negative, run.dataset.description.positive
    threshold = judgement.threshold
    html = environment.get_template("report.html.j2").render(
        run=run,
        judgement=judgement,
        names=FIGURE_NAMES,
        rule=rule,
        confidence=run.settings.evaluation.confidence,
        curves=_inline((run.folder / CURVES_NAME).read_bytes()),
        roc=_inline(roc_picture(test.truth, test.probability, threshold)),
        calibration=_inline(reliability_picture(judgement)),
        histogram=_inline(histogram_picture(test.truth, test.probability, threshold, (negative, positive))),
        gallery=_gallery(test, threshold),
    )
    path.write_text(html, encoding="utf-8")


def _gallery(test: Predictions, threshold: float) -> dict[str, list[_Exhibit]]:
    """Up to eight of each outcome, no two of one group: the mistakes worst first, the rest at random."""
    called, probability = test.probability >= threshold, test.probability
    random = np.random.default_rng(0).permutation(len(probability))
    outcomes = {
        "Missed": (test.truth & ~called, np.argsort(probability)),
        "False alarms": (~test.truth & called, np.argsort(-probability)),
        "Found": (test.truth & called, random),
        "Rightly left alone": (~test.truth & ~called, random),
    }
    strongest = float(np.quantile(test.evidence.max(axis=(1, 2)), 0.9))
    gallery = {}
    for title, (members, order) in outcomes.items():
        shown: dict[int, _Exhibit] = {}
        for index in (int(one) for one in order if members[one]):
            row = test.rows.iloc[index]
            if int(row["group"]) not in shown:
                picture = evidence_picture(test.planes[index], test.evidence[index], strongest)
                exhibit = _Exhibit(row["file"], int(row["group"]), float(probability[index]), _inline(picture))
                shown[exhibit.group] = exhibit
            if len(shown) == _EACH:
                break
        gallery[title] = list(shown.values())
    return gallery


def _inline(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
