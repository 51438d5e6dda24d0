"""Each published network's card says what a person has to know before it is used, and agrees with its manifest."""

import re

import pytest

from overread.published_algorithms import PUBLISHED, PublishedAlgorithm
from tests.peers.published_manifests import published_card, published_manifest

ROWS = (
    "what it does",
    "intended use",
    "network",
    "source",
    "licence",
    "cite",
    "this file",
    "golden pair",
    "trained on",
)
FILLED = {"package", "version", "file", "sha256", "licence", "model_sha256", "difference", "intended_use"}


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda one: one.name)
def test_a_card_has_what_a_person_has_to_know(published: PublishedAlgorithm) -> None:
    """Licence, citation, intended use, training data, golden pair, what was measured, limits: none is empty."""
    card = published_card(published.name)
    manifest = published_manifest(published.name)

    rows = dict(re.findall(r"^\| ([^|]+?) \| (.+?) \|$", card, re.MULTILINE))
    assert [name for name in ROWS if not rows.get(name, "").strip()] == []
    assert rows["intended use"] == "$intended_use"
    assert rows["licence"].startswith("$licence")
    assert set(re.findall(r"\$(\w+)", card)) <= FILLED
    assert card.startswith(f"# {manifest.title}: ")
    assert "Not a medical device" in card
    assert "## What was measured" in card
    assert "the terms of the training data were not examined" in card.partition("## Limits")[2]


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda one: one.name)
def test_a_card_and_a_manifest_do_not_contradict_each_other(published: PublishedAlgorithm) -> None:
    """The licence, version and use are those of the package, and a limit on the age is told."""
    identity = published_manifest(published.name).identity
    limits = " ".join(published_card(published.name).partition("## Limits")[2].split())

    assert identity.licence == published.licence
    assert identity.version == published.package.version
    assert identity.use == "research"
    assert identity.intended_use.startswith("Research only")
    assert re.search("[Pp]atients under 18 or of unknown age", limits)
