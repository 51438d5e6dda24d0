"""Building what fetches from an archive: the spool it is kept in, the rows, and the archive itself."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from listener.scp.store import StoreHandler
from listener.scu.query.archive import Archive
from listener.scu.query.archive_settings import ArchiveSettings
from listener.scu.query.dimse_archive import DimseArchive
from listener.scu.query.fetching import Fetcher
from listener.scu.query.keeping import Keeping, Visit
from listener.scu.query.web_archive import WebArchive
from listener.web.intake import Intake
from listener.web.set_aside_allowance import SetAsideAllowance
from overread.errors import InvalidSettings
from overread.settings import Settings
from storage.objects.claims import Claims
from storage.objects.layout import DataFolder
from storage.objects.spool import FileSpool
from storage.postgres.engine import Database
from storage.postgres.fetch_rows import PostgresFetches
from storage.postgres.held_instances import PostgresHeldInstances


def archive_named(settings: Settings, name: str | None) -> ArchiveSettings:
    """The archive of this name, or the only one there is.

    Raises:
        InvalidSettings: there is none, or several and no name.
    """
    names = [one.name for one in settings.archives]
    if not names:
        raise InvalidSettings(
            "No [[archives]] are configured; add one, with its name and where it is, to overread.toml."
        )
    if name is None and len(names) > 1:
        raise InvalidSettings(f"There are several [[archives]]; say --from one of {', '.join(names)}.")
    if name is not None and name not in names:
        raise InvalidSettings(f"{name} is none of the [[archives]]; say --from one of {', '.join(names)}.")
    return settings.archives[0 if name is None else names.index(name)]


@dataclass(frozen=True, slots=True)
class Desk:
    """An archive and all that is needed to fetch from it."""

    archive: Archive
    fetcher: Fetcher
    fetches: PostgresFetches
    require_room: Callable[[], None]


@contextmanager
def fetching(
    settings: Settings,
    place: ArchiveSettings,
    database: Database,
    actor: str,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Desk]:
    """A desk for one archive; the spool is ours, too, as long as the block lasts, beside the listener's processes."""
    folder = DataFolder(settings.data_dir)
    with closing(FileSpool(folder, settings.spool)) as spool, closing(Claims(folder)) as claims:
        archive = _archive(settings, place, StoreHandler(spool), stopped)
        fetches = PostgresFetches(database)
        kept = _kept(claims, PostgresHeldInstances(database))
        yield Desk(archive, Fetcher(place.name, place.way, archive, fetches, kept, actor), fetches, spool.require_room)


def _archive(settings: Settings, place: ArchiveSettings, handler: StoreHandler, stopped: Callable[[], bool]) -> Archive:
    called = place.received_as or settings.listener.ae_title
    if place.kind == "dimse":

        def keeping(study_instance_uid: str) -> Keeping:
            return Keeping(handler, Visit(place.ae_title, called, place.host, study_instance_uid))

        most = settings.listener.max_instance_bytes
        return DimseArchive(place, settings.listener.ae_title, keeping, most, stopped)
    allowance = SetAsideAllowance()

    def intake() -> Intake:
        return Intake(
            handler,
            account=f"archive {place.name}",
            address=place.url,
            max_instance_bytes=settings.web.max_instance_bytes,
            allowance=allowance,
            called_ae_title=called,
        )

    return WebArchive(place, intake, stopped)


def _kept(claims: Claims, held: PostgresHeldInstances) -> Callable[[Collection[str]], set[str]]:
    def kept(sop_instance_uids: Collection[str]) -> set[str]:
        """Looked for in the spool first: whatever gets its row leaves the spool after that."""
        waiting = {uid for uid in sop_instance_uids if (holder := claims.holder(uid)) is not None and holder.durable}
        rest: Sequence[str] = [uid for uid in sop_instance_uids if uid not in waiting]
        return waiting | (held.of(rest).keys() if rest else set())

    return kept
