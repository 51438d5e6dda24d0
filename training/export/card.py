"""The model card of an exported classifier, in the order of docs/model-card-template.md."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from training.evaluation.record import Evaluation
from training.evaluation.report import FIGURE_NAMES
from training.export.onnx_file import TOLERANCE
from training.learning.run_folder import Run


def card_text(run: Run, evaluation: Evaluation, parity: dict[str, float], compared: int, sha256: str) -> str:
    """``card.md`` of one export."""
    environment = Environment(
        loader=PackageLoader("training.export", "."),
        autoescape=False,  # noqa: S701 - Markdown, and read as text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    false_alarm = 1 - evaluation.test.by_group["specificity"].value
    return environment.get_template("card.md.j2").render(
        about=run.settings.algorithm,
        settings=run.settings,
        record=run.record,
        data=run.dataset.description,
        evaluation=evaluation,
        test=evaluation.test,
        names=FIGURE_NAMES,
        parity=parity,
        compared=compared,
        tolerance=TOLERANCE,
        sha256=sha256,
        false_alarm=false_alarm,
        false_alarm_of_20=1 - (1 - false_alarm) ** 20,
    )
