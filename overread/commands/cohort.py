"""`overread cohort`: an algorithm over studies of the past, and a table of what it found."""

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from listener.scu.query.archive import ArchiveFailed
from listener.scu.query.matching import query_of
from listener.scu.query.priors import meets_series_keys
from overread.caller import caller
from overread.cohorts.run import CohortRun, Counts
from overread.commands.progress import Report, progress_bars
from overread.commands.status import output_console
from overread.database import existing_database
from overread.errors import FrontDeskError, InvalidSettings
from overread.fetching import Desk, archive_named, fetching
from overread.settings import Settings, load_settings
from storage.domain.algorithm import AlgorithmStage
from storage.domain.cohort import ENDED, Cohort, CohortPlan, MemberState
from storage.domain.identifiers import checked_uid
from storage.errors import InvalidIdentifier, InvalidTransition, UnknownRecord
from storage.objects.layout import DataFolder
from storage.objects.site_secret import site_secret
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.cohort_rows import PostgresCohorts
from storage.postgres.cohort_studies import standing_of
from storage.postgres.engine import Database, open_database
from storage.postgres.study_settlement import PostgresStudySettlement

_NAME_LETTERS = 8
_MOST_STUDIES = 1_000_000


class CohortIncomplete(FrontDeskError):
    """Not every study of the cohort has a result; the reasons stand above."""


@click.group()
def cohort() -> None:
    """Run an algorithm over many studies of the past, and write a table of its findings."""


@cohort.command()
@click.option("--name", help="Its name; left out, it follows from the options, so that the same command goes on.")
@click.option(
    "--query", metavar="KEY=VALUE…", help='Studies of the archive, such as "Modality=CT StudyDate=20200101-".'
)
@click.option(
    "--studies", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file with a UID on each line."
)
@click.option("--algorithm", metavar="NAME[@VERSION]", help="Without a version the active one.")
@click.option("--from", "archive", metavar="NAME", help="The one of the [[archives]] that studies are fetched from.")
@click.option("--held", is_flag=True, help="With --studies: look only at what is here, and fetch nothing.")
@click.option("--deliver", is_flag=True, help="Have results made and sent to destinations, as for a study of today.")
@click.option("--retry", is_flag=True, help="Try again what failed.")
@click.option(
    "--in-flight", type=click.IntRange(1, 1000), default=4, show_default=True, help="So many studies at a time."
)
@click.option("--most", type=click.IntRange(1, _MOST_STUDIES), default=100_000, show_default=True, help="Refuse more.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The table to write, FILE.parquet.")
@click.option("--identified", is_flag=True, help="Keep UIDs, Patient IDs and dates in the table.")
def run(retry: bool, in_flight: int, out: Path | None, identified: bool, **asked: Any) -> None:  # noqa: ANN401
    """Fetch and analyse the studies of a cohort at low priority, and write its table; go on where it was.

    An existing cohort needs only its --name. Results stay here and are sent to nobody unless --deliver says so.
    """
    if out is not None:
        _require_parquet()
    settings = load_settings()
    with _open(settings) as (database, cohorts):
        cohort = _cohort(settings, database, cohorts, asked)
        with ExitStack() as stack:
            stack.enter_context(cohorts.running(cohort))
            cohort = _going_on(cohorts, cohort.plan.name)  # somebody else may have listed or canceled it meanwhile
            desk = _desk(stack, settings, database, cohort)
            if not cohort.listed:
                cohorts.list_members(cohort, _listed(asked, desk, cohort))
            if retry:
                cohorts.retry(cohort)
            report = stack.enter_context(progress_bars())
            settlement = PostgresStudySettlement(database)
            counts = CohortRun(
                cohorts,
                cohort,
                caller(),
                desk,
                partial(standing_of, database),
                lambda uid: settlement.settle_now(uid, [], caller()),
                partial(_report, report),
                in_flight,
            ).run()
        _tell(cohorts, cohort, counts)
        if out is not None:
            _write(settings, cohorts, cohort, out, identified)
    lacking = counts[MemberState.FAILED] + counts[MemberState.CANCELED]
    if lacking:
        raise CohortIncomplete(
            f"{lacking} of {sum(counts.values())} studies have no result; the reasons stand above, --retry tries again."
        )


@cohort.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def list_cohorts(as_json: bool) -> None:
    """Every cohort and how far it is, newest first."""
    with _open(load_settings()) as (_, cohorts):
        found = cohorts.all()
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    if not found:
        click.echo("There is no cohort yet; `overread cohort run` makes one.")
        return
    table = Table("cohort", "algorithm", "studies", "ended", "without result")
    for one in found:
        states: Mapping[MemberState, int] = one["states"]
        ended = sum(states[state] for state in ENDED)
        without = ended - states[MemberState.ANALYSED]
        title = f"{one['name']}{' (canceled)' if one['canceled'] else ''}"
        table.add_row(escape(title), escape(one["algorithm"]), str(sum(states.values())), str(ended), str(without))
    output_console().print(table)


@cohort.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(name: str, as_json: bool) -> None:
    """How many studies of a cohort are in each state, and why some have no result."""
    with _open(load_settings()) as (_, cohorts):
        cohort = cohorts.named(name)
        counts, reasons = cohorts.counts(cohort), cohorts.reasons(cohort)
        if not as_json:
            _tell(cohorts, cohort, counts)
            return
    plan = {"name": name, "algorithm": f"{cohort.plan.algorithm_name} {cohort.plan.algorithm_version}"}
    click.echo(json.dumps({**plan, "states": counts, "reasons": reasons}, indent=2, ensure_ascii=False))


@cohort.command("cancel")
@click.argument("name")
def cancel_cohort(name: str) -> None:
    """Give up what waits, and cancel the jobs that only this cohort waits for."""
    with _open(load_settings()) as (_, cohorts):
        number = cohorts.cancel(cohorts.named(name), caller())
    click.echo(f"Cohort {name} is canceled; {number} of its studies had not ended.")


@cohort.command("table")
@click.argument("name")
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--identified", is_flag=True, help="Keep UIDs, Patient IDs and dates in the table.")
def write(name: str, out: Path, identified: bool) -> None:
    """Write the table of a cohort as it is now to a Parquet file."""
    _require_parquet()
    settings = load_settings()
    with _open(settings) as (_, cohorts):
        _write(settings, cohorts, cohorts.named(name), out, identified)


@contextmanager
def _open(settings: Settings) -> Iterator[tuple[Database, PostgresCohorts]]:
    with existing_database(settings) as url:
        database = open_database(url, "overread cohort")
        try:
            yield database, PostgresCohorts(database)
        finally:
            database.close()


def _require_parquet() -> None:
    """Fail before anything is fetched where the table could not be written."""
    import pyarrow  # noqa: F401


def _cohort(settings: Settings, database: Database, cohorts: PostgresCohorts, asked: Mapping[str, Any]) -> Cohort:
    """The cohort that the options mean, written down."""
    name, query, studies, algorithm = (asked[key] for key in ("name", "query", "studies", "algorithm"))
    if name is None or query or studies or algorithm:
        return cohorts.define(_plan(settings, database, asked), caller())
    if asked["deliver"] or asked["held"] or asked["archive"]:
        raise click.UsageError("--deliver, --held and --from are of the first run; go on with --name alone.")
    return cohorts.named(name)


def _going_on(cohorts: PostgresCohorts, name: str) -> Cohort:
    cohort = cohorts.named(name)
    if cohort.canceled:
        raise InvalidTransition(f"Cohort {name} was canceled; give a new one another --name.")
    return cohort


def _plan(settings: Settings, database: Database, asked: Mapping[str, Any]) -> CohortPlan:
    query, studies = asked["query"], asked["studies"]
    if asked["algorithm"] is None:
        raise click.UsageError("Say which --algorithm.")
    if bool(query) == bool(studies):
        raise click.UsageError("Say either --query or --studies.")
    if asked["held"] and query:
        raise click.UsageError("--held goes with --studies; a query is asked of an archive.")
    if query:
        query_of(query)
    algorithm, version = _version(database, asked["algorithm"])
    archive = "" if asked["held"] else archive_named(settings, asked["archive"]).name
    # A list is known by what is in it, so that its name tells whether it is the same.
    what = query or f"studies {hashlib.sha256(chr(10).join(_uids(studies)).encode()).hexdigest()}"
    plan = (algorithm, version, archive, what, str(asked["deliver"]))
    # The table bears the name: a digest that anybody can make would tell whether a guessed Patient ID was asked for.
    secret = site_secret(DataFolder(settings.data_dir))
    short = hmac.digest(secret, "\0".join(("cohort name", *plan)).encode(), "sha256").hex()[:_NAME_LETTERS]
    return CohortPlan(asked["name"] or f"{algorithm}-{short}", algorithm, version, archive, what, asked["deliver"])


def _version(database: Database, wanted: str) -> tuple[str, str]:
    name, at, version = wanted.partition("@")
    if at:
        return name, version
    active = PostgresAlgorithmCatalog(database).all(AlgorithmStage.ACTIVE)
    for one in active:
        if one.name == name:
            return name, one.version
    raise UnknownRecord(f"No version of {name} is active; name one as {name}@VERSION, see `overread algorithms list`.")


def _uids(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()  # some editors write a byte order mark
    except UnicodeDecodeError:
        raise InvalidSettings(f"{path} is no text in UTF-8; save it so, with a UID on each line.") from None
    found = sorted({line.strip() for line in lines if line.strip()})
    if not found:
        raise InvalidSettings(f"{path} names no study; write a Study Instance UID on each line.")
    for uid in found:
        try:
            checked_uid(uid, "A Study Instance UID of --studies")
        except InvalidIdentifier as error:
            raise InvalidSettings(str(error)) from None
    return found


def _desk(stack: ExitStack, settings: Settings, database: Database, cohort: Cohort) -> Desk | None:
    if not cohort.plan.archive:
        return None
    place = archive_named(settings, cohort.plan.archive)
    return stack.enter_context(fetching(settings, place, database, caller()))


def _listed(asked: Mapping[str, Any], desk: Desk | None, cohort: Cohort) -> Sequence[str]:
    """The studies of a cohort, as the file or the archive names them."""
    if asked["studies"]:
        return _uids(asked["studies"])
    if desk is None or not cohort.plan.query or cohort.plan.query.startswith("studies "):
        raise InvalidSettings(f"Cohort {cohort.plan.name} was not listed to its end; give its --studies again.")
    query = query_of(cohort.plan.query)
    try:
        found = desk.archive.find_studies(query, asked["most"])
        uids = [one.study_instance_uid for one in found if meets_series_keys(desk.archive, query, one)]
    except ArchiveFailed as failed:
        raise FrontDeskError(failed.reason.sentence) from None
    desk.fetches.note_query(cohort.plan.archive, caller(), len(uids))
    if not uids:  # the list is made once, and would stay empty
        raise FrontDeskError(f"No study of {cohort.plan.archive} matches the query; correct it, or ask again later.")
    return uids


def _report(report: Report, counts: Counts) -> None:
    total = sum(counts.values())
    report("fetched", total - counts[MemberState.WAITING] - counts[MemberState.FETCHING], total)
    report("ended", sum(counts[state] for state in ENDED), total)


def _tell(cohorts: PostgresCohorts, cohort: Cohort, counts: Counts) -> None:
    said = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "none is known yet"
    plan = cohort.plan
    click.echo(
        f"Cohort {plan.name} ({plan.algorithm_name} {plan.algorithm_version}), {sum(counts.values())} studies: {said}."
    )
    for reason in cohorts.reasons(cohort):
        click.echo(f"{reason['studies']} {reason['state']} ({reason['reason_code']}): {reason['sentence']}")


def _write(settings: Settings, cohorts: PostgresCohorts, cohort: Cohort, out: Path, identified: bool) -> None:
    from overread.cohorts.table import Pseudonyms, measurement_columns, write_table

    pseudonyms = Pseudonyms(site_secret(DataFolder(settings.data_dir)), cohort.plan.name)
    names = measurement_columns(cohorts.findings(cohort))
    found = cohorts.findings(cohort, pseudonyms.order_key)
    rows = write_table(out, cohort, found, pseudonyms, names, identified)
    cohorts.note_export(cohort, caller(), rows, identified)
    click.echo(f"{out} has {rows} rows{'' if identified else ' without names, UIDs and dates'}.")
