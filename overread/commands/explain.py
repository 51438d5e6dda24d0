"""`overread explain`: why a study was, or was not, processed, in sentences from the rows."""

import json

import click

from overread.commands.status import with_overview
from overread.errors import FrontDeskError
from overread.settings import load_settings
from storage.domain.explanation import sentences, shadow_sentences
from storage.domain.identifiers import checked_uid
from storage.errors import InvalidIdentifier


@click.command()
@click.argument("uid")
@click.option("--json", "as_json", is_flag=True, help="Print the facts that the sentences are made of.")
def explain(uid: str, as_json: bool) -> None:
    """Tell what happened to the study, series or instance with this UID, and why."""
    with with_overview(load_settings()) as overview:
        facts = overview.explain(_checked(uid))
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for sentence in (*sentences(facts), *shadow_sentences(facts)):
        click.echo(sentence)


def _checked(uid: str) -> str:
    """A UID is looked up; anything else may be a patient's name and is not repeated."""
    try:
        return checked_uid(uid, "The argument")
    except InvalidIdentifier:
        raise FrontDeskError(
            "What was given is not a UID; give a Study, Series or SOP Instance UID, such as `overread status` shows."
        ) from None
