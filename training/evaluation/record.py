"""``figures.json``: the evaluation of a run, for programs and for the export."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.errors import InvalidRun
from training.evaluation.judgement import Judgement
from training.learning.run_folder import EVALUATION_FOLDER

FIGURES_NAME = "figures.json"
PREDICTIONS_NAME = "predictions.csv"
REPORT_NAME = "report.html"


class Evaluation(BaseModel):
    """What `overread evaluate` found."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: float = Field(gt=0, lt=1)
    threshold_rule: str
    confidence: float
    replicates: int
    weights_sha256: str
    test: Judgement
    validation: Judgement = Field(description="Optimistic: these images chose the epoch and the threshold.")


def write_evaluation(run_folder: Path, evaluation: Evaluation) -> None:
    """Write the figures into the run."""
    path = run_folder / EVALUATION_FOLDER / FIGURES_NAME
    path.write_text(evaluation.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_evaluation(run_folder: Path, weights_sha256: str) -> Evaluation:
    """The figures of exactly these weights.

    Raises:
        InvalidRun: the run was not evaluated, or other weights were.
    """
    path = run_folder / EVALUATION_FOLDER / FIGURES_NAME
    try:
        evaluation = Evaluation.model_validate_json(path.read_bytes())
    except OSError:
        raise InvalidRun(f"{run_folder} was not evaluated; run `overread evaluate {run_folder}` first.") from None
    except ValidationError:
        raise InvalidRun(f"{path} is not what `overread evaluate` writes; evaluate the run again.") from None
    if evaluation.weights_sha256 != weights_sha256:
        raise InvalidRun(f"{path} tells of other weights than the run's; evaluate the run again.")
    return evaluation
