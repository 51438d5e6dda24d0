"""`overread monitor`: what algorithms do, how fast, and whether what they are given has changed."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from overread.caller import caller
from overread.commands.status import output_console
from overread.database import existing_database
from overread.plain_text import visible
from overread.settings import Settings, load_settings
from storage.domain.agreement import Limits, plain_number
from storage.domain.job_statistics import Acquisition, Stage
from storage.postgres.engine import Database, open_database
from storage.postgres.monitoring import PostgresMonitoring
from storage.postgres.version_comparison import compare_versions
from storage.settings import MonitoringSettings

_DAYS = 7
_MOST_DAYS = 3650
_STYLES = {"stable": "green", "watch": "yellow", "drifted": "red", "too few": "default"}
_TABLE = "table"


class _Number(click.FloatRange):
    """A number between two bounds; NaN is between none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """Read it. Raises BadParameter."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return number


class _NameOrCommand(click.Group):
    """A word that is none of the commands is the name of an algorithm."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the command that prints the table before what is meant for it."""
        if not args or args[0] not in {*self.commands, *ctx.help_option_names}:
            args = [_TABLE, *args]
        return super().parse_args(ctx, args)


@contextmanager
def _database(settings: Settings) -> Iterator[Database]:
    with existing_database(settings) as url:
        database = open_database(url, "overread monitor")
        try:
            yield database
        finally:
            database.close()


@click.group(cls=_NameOrCommand)
def monitor() -> None:
    """Show what algorithms do, how fast, and whether their input has drifted.

    `overread monitor [NAME]` prints the table; `overread monitor table --help` tells its options.
    """


@monitor.command(_TABLE)
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--days",
    type=_Number(min=0.001, max=_MOST_DAYS),
    default=_DAYS,
    show_default=True,
    help="Count what was done in these days.",
)
@click.option("--last", type=click.IntRange(10, 10_000), help="Compare the newest so many results, now.")
@click.option("--window-days", type=_Number(min=0.001, max=_MOST_DAYS), help="Compare results of these days, now.")
def table(name: str | None, as_json: bool, days: float, last: int | None, window_days: float | None) -> None:
    """Every algorithm, or one: jobs, failures, times and drift by scanner and protocol."""
    settings = load_settings()
    fresh = _windows(settings.monitoring, last, window_days)
    with _database(settings) as database:
        facts = PostgresMonitoring(database).overview(days, name, fresh)
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    if not facts["algorithms"]:
        click.echo(f"No algorithm has done anything in the last {days:g} days.")
    for algorithm in facts["algorithms"]:
        _print_algorithm(algorithm, days)


def _windows(usual: MonitoringSettings, last: int | None, days: float | None) -> MonitoringSettings | None:
    """Other windows than those of the settings; ``None``: what was found at the last look is told."""
    if last is None and days is None:
        return None
    count = last or usual.window_results
    least = min(usual.minimum_results, count)
    changed = {"window_results": count, "window_days": days or usual.window_days, "minimum_results": least}
    return usual.model_copy(update=changed)


@monitor.command()
@click.argument("job_id", type=int)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(job_id: int, as_json: bool) -> None:
    """What is kept of one job: equipment, input, scores and times."""
    with _database(load_settings()) as database:
        facts = PostgresMonitoring(database).job(job_id)
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for line in _lines_of_job(facts):
        click.echo(visible(line))


@monitor.command()
@click.argument("name")
@click.argument("version")
@click.option("--from", "begin", type=click.DateTime(), help="From this time on (UTC).")
@click.option("--to", "end", type=click.DateTime(), help="To before this time (UTC); now, if it is not given.")
@click.option("--first", is_flag=True, help="Go back to the first results of each scanner and protocol.")
def baseline(name: str, version: str, begin: datetime | None, end: datetime | None, first: bool) -> None:
    """Say what results of VERSION of NAME are compared with; without an option, show it."""
    settings = load_settings()
    if (first and (begin or end)) or (end and not begin):
        raise click.UsageError("Give --from, perhaps with --to, or --first alone.")
    with _database(settings) as database:
        monitoring = PostgresMonitoring(database)
        if begin is not None:
            span = begin.replace(tzinfo=UTC), (end or datetime.now(UTC)).replace(tzinfo=UTC)
            if span[0] >= span[1]:
                raise click.UsageError("--from must lie before --to.")
            monitoring.set_baseline(name, version, span, caller())
        elif first:
            monitoring.set_baseline(name, version, None, caller())
        chosen = monitoring.baseline(name, version)
    if chosen is None:
        first_ones = settings.monitoring.baseline_results
        click.echo(f"{name} {version} is compared with its first {first_ones} results of each scanner and protocol.")
    else:
        click.echo(
            f"{name} {version} is compared with its results from {_time(chosen['from_at'])} to "
            f"{_time(chosen['to_at'])}, set by {visible(chosen['set_by'])} at {_time(chosen['set_at'])}."
        )


@monitor.command()
@click.argument("name")
@click.argument("active")
@click.argument("shadow")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--list", "listed", is_flag=True, help="List the studies on which they disagree.")
@click.option(
    "--tolerance",
    type=_Number(min=0, max=2),
    default=0.1,
    show_default=True,
    help="The relative difference of a measurement from which a study is listed.",
)
@click.option(
    "--dice",
    type=_Number(min=0, max=1),
    default=0.9,
    show_default=True,
    help="The overlap of a structure below which a study is listed.",
)
@click.option(
    "--probability",
    type=_Number(min=0, max=1),
    default=0.2,
    show_default=True,
    help="The difference of two probabilities of a class from which a study is listed.",
)
def compare(
    name: str, active: str, shadow: str, as_json: bool, listed: bool, tolerance: float, dice: float, probability: float
) -> None:
    """How far versions ACTIVE and SHADOW of NAME agree on the studies that both have been through."""
    with _database(load_settings()) as database:
        facts = compare_versions(database, name, active, shadow, Limits(tolerance, probability, dice))
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    click.echo(f"{name}: {active} and {shadow} on {_studies(facts)}; {active} always stands first.")
    _print_agreement(facts)
    for kind, groups in facts["subgroups"].items():
        if len(groups) > 1:
            _print_subgroups(kind, groups)
    count = len(facts["disagreements"])
    click.echo(f"They disagree on {count} of {_studies(facts)}{'' if listed or not count else '; --list'}.")
    for one in facts["disagreements"] if listed else ():
        reasons = "; ".join(one["reasons"])
        jobs = f"jobs {one['active_job_id']} and {one['shadow_job_id']}"
        click.echo(visible(f"{one['study_instance_uid']}  {jobs}: {reasons}"))


def _print_algorithm(algorithm: Mapping[str, Any], days: float) -> None:
    click.echo(
        f"{algorithm['name']} {algorithm['version']} ({algorithm['stage']}), last {days:g} days: {_ends(algorithm)}"
    )
    rows = _table("scanner", "protocol", "results", "drift", "what differs most", "last seen")
    times = _table("scanner", "protocol", *(f"{stage} s" for stage in Stage))
    for group in algorithm["groups"]:
        place = escape(visible(group["scanner"])), escape(visible(group["protocol"]))
        rows.add_row(*place, str(group["results"]), *_drift(group["drift"]), _time(group["last_seen_at"]))
        times.add_row(*place, *(_percentiles(group["stages"].get(stage)) for stage in Stage))
    if algorithm["groups"]:
        output_console().print(rows)
        click.echo("Seconds of each stage, p50 / p95:")
        output_console().print(times)
    click.echo("")


def _ends(algorithm: Mapping[str, Any]) -> str:
    told = [
        f"{end['jobs']} {end['outcome'] or end['state']}{' (' + end['code'] + ')' if end['code'] else ''}"
        for end in algorithm["ends"]
    ]
    jobs = "1 job" if algorithm["jobs"] == 1 else f"{algorithm['jobs']} jobs"
    return f"{jobs}: {', '.join(told)}" if told else "no job"


def _drift(drift: Mapping[str, Any] | None) -> tuple[str, str]:
    if drift is None:
        return "not looked at yet", ""
    counts = f"{drift['window_results']} against {drift['baseline_results']}"
    word = f"[{_STYLES[drift['state']]}]{drift['state']}[/]"
    if not drift["comparisons"]:
        return word, counts
    worst = drift["comparisons"][0]
    figures = f"PSI {worst['index']:.2f}, D {worst['distance']:.2f}, p {worst['adjusted']:.2g}"
    return word, f"{escape(visible(worst['name']))}: {figures} ({counts})"


def _percentiles(stage: Mapping[str, float] | None) -> str:
    return "–" if stage is None else f"{stage['p50']:.2f} / {stage['p95']:.2f}"


def _lines_of_job(facts: Mapping[str, Any]) -> Iterator[str]:
    yield f"Job {facts['id']}: {facts['name']} {facts['version']}"
    if facts["stages"] is None:
        yield "Nothing is kept of it: it has no result, or it was analysed by a release without monitoring."
        return
    yield f"artifact SHA-256 {facts['artifact_sha256']}, run on {facts['execution_provider']}"
    yield f"scanner  {facts['scanner']}"
    yield f"protocol {facts['protocol']}"
    acquisition = facts["acquisition"]
    known = [one.name for one in fields(Acquisition)]  # the database sorts keys by their length
    for name in [*(key for key in known if key in acquisition), *(key for key in acquisition if key not in known)]:
        yield f"  {name:20} {_or_nothing(acquisition[name])}"
    for place, spread in facts["values"].items():
        yield f"values {place}: {spread['count']}, {spread['minimum']:.6g} to {spread['maximum']:.6g}"
        yield f"  mean {spread['mean']:.6g}, sd {spread['sd']:.6g}"
        yield "  percentiles 1, 5, 25, 50, 75, 95, 99: " + ", ".join(f"{value:.6g}" for value in spread["percentiles"])
    for name, score in facts["scores"].items():
        yield f"score {name}: {score:.6g}"
    for stage in Stage:
        if stage in facts["stages"]:
            yield f"stage {stage:12} {facts['stages'][stage]:.3f} s"


def _studies(facts: Mapping[str, Any]) -> str:
    return "1 study" if facts["studies"] == 1 else f"{facts['studies']} studies"


def _or_nothing(value: object) -> object:
    return "–" if value in (None, "") else value


def _print_agreement(facts: Mapping[str, Any]) -> None:
    for end in facts["outcomes"]:
        click.echo(f"  {end['active']} / {end['shadow']}: {end['studies']}")
    if facts["classes"]:
        rows = _table("class", "both", "only active", "only shadow", "neither", "agreement", "kappa")
        for one in facts["classes"]:
            cells = (str(one[key]) for key in ("both", "only_active", "only_shadow", "neither"))
            rows.add_row(escape(visible(one["label"])), *cells, f"{one['agreement']:.1%}", _figure(one["kappa"]))
        output_console().print(rows)
    if facts["numbers"]:
        rows = _table("number", "studies", "shadow - active", "limits of agreement", "relative")
        for one in facts["numbers"]:
            limits = f"{plain_number(one['lower'])} to {plain_number(one['upper'])}"
            rows.add_row(
                escape(visible(one["name"])),
                str(one["studies"]),
                plain_number(one["bias"]),
                limits,
                f"{one['relative']:.1%}",
            )
        output_console().print(rows)
    if facts["overlaps"]:
        rows = _table("structure", "studies", "median Dice", "worst")
        for one in facts["overlaps"]:
            figures = f"{one['median']:.3f}", f"{one['worst']:.3f}"
            rows.add_row(escape(visible(one["label"])), str(one["studies"]), *figures)
        output_console().print(rows)
    seconds = facts["seconds"]
    told = " and ".join(
        f"{_figure(of['p50'])} / {_figure(of['p95'])} s" for of in (seconds["active"], seconds["shadow"])
    )
    click.echo(f"Time of a job, p50 / p95: {told}.")


def _print_subgroups(kind: str, groups: Mapping[str, Mapping[str, Any]]) -> None:
    rows = _table(kind, "studies", "what", "agreement, kappa, relative difference or Dice")
    for group, facts in groups.items():
        told = [(one["label"], f"{one['agreement']:.1%}, {_figure(one['kappa'])}") for one in facts["classes"]]
        told += [(one["name"], f"{one['relative']:.1%}") for one in facts["numbers"]]
        told += [
            (f"Dice of {one['label']}", f"median {one['median']:.3f}, worst {one['worst']:.3f}")
            for one in facts["overlaps"]
        ]
        for what, figure in told or [("", "")]:
            rows.add_row(escape(visible(group)), str(facts["studies"]), escape(visible(what)), figure)
    output_console().print(rows)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _table(*columns: str) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def _time(iso: str | None) -> str:
    return iso[:16].replace("T", " ") + "Z" if iso else "–"
