"""`overread algorithms verify`: the bytes that were added are still there, and compute what the original computed."""

from pathlib import Path

import click

from inference.algorithms.trial import TIME_LIMIT_S, Trial, TrialLimits, try_out
from inference.errors import InferenceError, InvalidAlgorithm
from overread.database import existing_database
from overread.errors import VerificationFailed
from overread.plain_text import visible
from overread.promotion import check_bytes
from overread.settings import load_settings
from storage.domain.algorithm import RegisteredAlgorithm
from storage.errors import UnknownRecord
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.engine import open_database

TIME_LIMIT = click.option(
    "--time-limit",
    type=click.IntRange(1, 86_400),
    default=TIME_LIMIT_S,
    show_default=True,
    help="How many seconds the first load and the golden pair may take.",
)


@click.command()
@click.argument("name_or_folder", required=False)
@click.option(
    "--parity", is_flag=True, help="Require a golden pair, and tell how near the original framework's output is."
)
@TIME_LIMIT
def verify(name_or_folder: str | None, parity: bool, time_limit: int) -> None:
    """Check the bytes of a FOLDER, of the installed versions of a NAME, or of everything installed.

    Each network is loaded and its golden pair run: an input, and what the original framework made of it. Every version
    is looked at, whatever is wrong with another.
    """
    limits = TrialLimits(time_limit)
    if name_or_folder and Path(name_or_folder).is_dir():
        trial = try_out(Path(name_or_folder), limits)
        if parity:
            _require_pair(name_or_folder, trial)
        told = _golden(trial, parity)
        click.echo(f"{name_or_folder}: complete and consistent; SHA-256 {trial.artifact_sha256}.{told}")
        return
    chosen = [known for known in _installed() if name_or_folder in (None, known.name)]
    if name_or_folder and not chosen:
        raise UnknownRecord(f"{name_or_folder} is neither a folder nor an installed algorithm.")
    if not chosen:
        raise VerificationFailed("No algorithm is installed, so nothing was verified; see `overread config show`.")
    failed = [f"{known.name} {known.version}" for known in chosen if not _is_sound(known, limits, parity)]
    if failed:
        versions = "1 version" if len(chosen) == 1 else f"{len(chosen)} versions"
        raise VerificationFailed(
            f"{len(failed)} of {versions} did not pass: {', '.join(failed)}; what is wrong with each stands above."
        )


def _is_sound(algorithm: RegisteredAlgorithm, limits: TrialLimits, parity: bool) -> bool:
    """Look at one version and say in one line how it is."""
    title = f"{algorithm.name} {algorithm.version}"
    try:
        check_bytes(algorithm)
        trial = try_out(algorithm.folder, limits)
        if parity:
            _require_pair(title, trial)
    except (InferenceError, OSError) as error:
        kind = error.strerror if isinstance(error, OSError) else str(error)
        click.echo(visible(f"{title} is not as it should be: {kind}"), err=True)
        return False
    click.echo(f"{title}: as added; SHA-256 {algorithm.artifact_sha256}.{_golden(trial, parity)}")
    return True


def _require_pair(title: str, trial: Trial) -> None:
    if trial.golden is None:
        raise InvalidAlgorithm(
            f"{title} has no golden pair, so nothing tells what the original framework computes; export, import or "
            "fetch it again with this release, then add it."
        )


def _golden(trial: Trial, parity: bool) -> str:
    if trial.golden is None:
        return " It has no golden pair."
    if parity:
        return f" Against the original framework's output on the same input: {visible(trial.golden)}."
    return f" The golden pair holds ({visible(trial.golden)})."


def _installed() -> tuple[RegisteredAlgorithm, ...]:
    with existing_database(load_settings()) as url:
        database = open_database(url, "overread algorithms")
        try:
            return PostgresAlgorithmCatalog(database).all()
        finally:
            database.close()
