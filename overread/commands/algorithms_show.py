"""`overread algorithms show`: everything that is known of one version."""

import json
from pathlib import Path
from typing import Any

import click

from overread.database import existing_database
from overread.plain_text import visible
from overread.settings import load_settings
from storage.domain.algorithm import AlgorithmStage, RegisteredAlgorithm
from storage.domain.algorithm_history import more_of, what_happened
from storage.domain.plain_file import open_plain
from storage.errors import UnknownRecord
from storage.objects.algorithm_card import card_text
from storage.ports.facts import Facts
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.engine import open_database

_TEXT_LIMIT = 2**20  # bytes; a manifest or a card has fewer
_COUNTS = {
    "analysed": "analysed",
    "not_analysed": "not analysed",
    "failed": "failed",
    "open": "waiting or running",
}


@click.command()
@click.argument("name")
@click.argument("version", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")
def show(name: str, version: str | None, as_json: bool) -> None:
    """Show manifest, card, digests, history and results of VERSION of NAME, or of its active or newest one."""
    with existing_database(load_settings()) as url:
        database = open_database(url, "overread algorithms")
        try:
            catalog = PostgresAlgorithmCatalog(database)
            algorithm = catalog.find(name, version) if version else _chosen(catalog, name)
            facts = _facts(algorithm, catalog)
        finally:
            database.close()
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for line in _lines(facts):
        click.echo(visible(line))
    for title, text in (("Manifest", _manifest_text(algorithm)), ("Card", facts["card"])):
        click.echo(f"\n{title}:")
        for line in (text or "(cannot be read)").rstrip().splitlines():
            click.echo(f"  {visible(line)}")


def _manifest_text(algorithm: RegisteredAlgorithm) -> str:
    from inference.algorithms.manifest import MANIFEST_NAME

    return _text(algorithm.folder / MANIFEST_NAME)


def _chosen(catalog: PostgresAlgorithmCatalog, name: str) -> RegisteredAlgorithm:
    versions = [known for known in catalog.all() if known.name == name]
    if not versions:
        raise UnknownRecord(f"No algorithm {name} is installed; see `overread algorithms list`.")
    return next((known for known in versions if known.stage is AlgorithmStage.ACTIVE), versions[0])


def _facts(algorithm: RegisteredAlgorithm, catalog: PostgresAlgorithmCatalog) -> Facts:
    # Here: it comes with an extra, and other commands do without.
    from inference.algorithms.yaml_document import NoYaml, yaml_document

    try:
        manifest: Any = yaml_document(_manifest_text(algorithm))
    except NoYaml:
        manifest = None
    return {
        "name": algorithm.name,
        "version": algorithm.version,
        "stage": str(algorithm.stage),
        "folder": str(algorithm.folder),
        "artifact_sha256": algorithm.artifact_sha256,
        "manifest_sha256": algorithm.manifest_sha256,
        "history": catalog.history(algorithm.name, algorithm.version),
        "results": catalog.result_counts(algorithm.name, algorithm.version),
        "manifest": manifest,
        "card": card_text(algorithm),
    }


def _text(path: Path) -> str:
    try:
        with open_plain(path) as file:
            return file.read(_TEXT_LIMIT).decode("utf-8", "replace")
    except OSError:
        return ""


def _lines(facts: Facts) -> list[str]:
    counts = facts["results"]
    return [
        f"{facts['name']} {facts['version']} is {facts['stage']}.",
        f"Model files   SHA-256 {facts['artifact_sha256']}",
        f"Manifest      SHA-256 {facts['manifest_sha256']}",
        f"Folder        {facts['folder']}",
        f"Results       {_counted(counts['active'])}",
        f"In shadow     {_counted(counts['shadow'])}",
        "History:",
        *(f"  {event['recorded_at'][:19].replace('T', ' ')}Z  {_event(event)}" for event in facts["history"]),
    ]


def _counted(counts: Facts) -> str:
    told = [f"{counts[key]} {words}" for key, words in _COUNTS.items() if counts[key]]
    return ", ".join(told) or "none"


def _event(event: Facts) -> str:
    more = more_of(event)
    return f"{what_happened(event)} by {event['actor']}{', ' if more else ''}{more}"
