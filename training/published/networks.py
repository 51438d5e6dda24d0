"""Which module converts which published network; imported in the confined process only, because it loads torch."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.published.conversion import Converted

MODULES: dict[str, str] = {
    "brain-extraction-mr": "brain_extraction_mr",
    "liver": "liver",
    "lungs-radiograph": "lungs_radiograph",
    "mr-sequence": "mr_sequence",
}


def convert(name: str, files: Sequence[Path]) -> "Converted":
    """Convert one of them; raises as its module does."""
    module = importlib.import_module(f"training.published.{MODULES[name]}")
    converted: Converted = module.convert(files)
    return converted
