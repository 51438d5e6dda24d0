"""One typed configuration, published, with a sentence for every mistake."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from training.datasets.brain_mr import recipe_text
from training.errors import InvalidConfiguration
from training.settings import TrainingSettings, json_schema, load_training_settings

ROOT = Path(__file__).parents[3]


def test_the_published_schema_is_the_code() -> None:
    """docs/reference/training.schema.json is what `overread train` validates with."""
    assert (ROOT / "docs/reference/training.schema.json").read_text(encoding="utf-8") == json_schema()


def test_every_key_says_what_it_does() -> None:
    """Each setting that is no section has a description."""
    schemas = TrainingSettings.model_json_schema()["$defs"]
    ours = [name for name in schemas if name.endswith("Settings")]

    silent = [
        f"{name}.{key}"
        for name in ours
        for key, field in schemas[name]["properties"].items()
        if "description" not in field
        and "$ref" not in field
        and (name, key) not in {("FindingSettings", "label")}
        and "anyOf" not in field
    ]

    assert len(ours) >= 7
    assert silent == []


def test_the_worked_example_is_valid(tmp_path: Path) -> None:
    """The configuration that comes with the brain-MR slices is accepted, and finds its data set beside itself."""
    path = tmp_path / "train.yaml"
    path.write_text(recipe_text(), encoding="utf-8")

    assert load_training_settings(path).dataset == tmp_path


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"epochs": 3}, "epochs"),
        ({"learning": {"epochs": 0}}, "learning.epochs"),
        ({"learning": {"epoch": 3}}, "learning.epoch"),
        ({"network": {"channels": [8]}}, "network.channels"),
        ({"image": {"size": [0, 96]}}, "image"),
        ({"image": {"size": [96, 96], "intensity": {"method": "zscore"}}}, "image"),
        ({"threshold": {"rule": "best"}}, "threshold.rule"),
        ({"threshold": {"at_least": 1.2}}, "threshold.at_least"),
        ({"algorithm": {}}, "algorithm.identity"),
        ({"dataset": None}, "dataset"),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path: Path, change: dict[str, Any], key: str) -> None:
    """Unknown keys and impossible values are refused in one sentence that says where."""
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(recipe_text()) | change))

    with pytest.raises(InvalidConfiguration) as refusal:
        load_training_settings(path)

    assert f": {key}" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("text", ["a: [", "- 1", "", "\t"])
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    """Broken YAML, a list, nothing at all: a sentence, not a stack."""
    path = tmp_path / "train.yaml"
    path.write_text(text)

    with pytest.raises(InvalidConfiguration):
        load_training_settings(path)
    with pytest.raises(InvalidConfiguration, match="cannot be read"):
        load_training_settings(tmp_path / "missing.yaml")
