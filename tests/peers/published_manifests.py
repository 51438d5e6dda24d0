"""The manifests and cards of the published networks as they stand in the package, without the networks."""

from importlib.resources import files as resources
from string import Template

import yaml

from inference.algorithms.manifest import Manifest, parse_manifest

_DESCRIPTIONS = resources("training.published") / "descriptions"


def published_manifest(name: str) -> Manifest:
    """The manifest that comes with the network, without the network."""
    text = (_DESCRIPTIONS / f"{name}.yaml").read_text(encoding="utf-8")
    return parse_manifest(yaml.safe_load(Template(text).substitute(model_sha256="0" * 64)))


def published_card(name: str) -> str:
    """The card as it is written, with its places to be filled."""
    return (_DESCRIPTIONS / f"{name}.md").read_text(encoding="utf-8")
