"""Building what fetches from an archive: the spool it is kept in, the rows, and the archive itself."""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial

from listener.scp.store import Decision, StoreHandler, StoreRequest
from listener.scp.toolkit_log import quiet_toolkits
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
from storage.domain.identifiers import is_uid
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
    """An archive and all that is needed to fetch from it.

    ``waiting`` tells which instances are on stable storage and have no row yet.
    """

    archive: Archive
    fetcher: Fetcher
    fetches: PostgresFetches
    require_room: Callable[[], None]
    waiting: Callable[[Collection[str]], set[str]]


@contextmanager
def fetching(
    settings: Settings,
    place: ArchiveSettings,
    database: Database,
    actor: str,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Desk]:
    """A desk for one archive; the spool is ours, too, as long as the block lasts, beside the listener's processes."""
    quiet_toolkits()
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # each failure is told once, in our words
    folder = DataFolder(settings.data_dir)
    with closing(FileSpool(folder, settings.spool)) as spool, closing(Claims(folder)) as claims:
        fetches = PostgresFetches(database)
        handler = _WatchingHandler(spool, fetches)
        archive = _archive(settings, place, handler, stopped)
        waiting = partial(_waiting, claims)
        kept = partial(_kept, waiting, PostgresHeldInstances(database))
        fetcher = Fetcher(place.name, place.way, archive, fetches, kept, actor, handler.expect)
        yield Desk(archive, fetcher, fetches, spool.require_room, waiting)


class _WatchingHandler(StoreHandler):
    """Writes down what an archive gives without having listed it, before that is kept.

    Else one instance more than was listed would make a prior an ordinary study, which is analysed. What comes by C-MOVE
    comes to `overread listen`, like everything else that archives send.
    """

    def __init__(self, spool: FileSpool, fetches: PostgresFetches) -> None:
        super().__init__(spool)
        self._fetches = fetches
        self._fetch_id = 0
        self._known: set[str] = set()

    def expect(self, fetch_id: int, sop_instance_uids: Collection[str]) -> None:
        """What comes from now on comes by this fetch."""
        self._fetch_id, self._known = fetch_id, set(sop_instance_uids)

    def decide(self, request: StoreRequest) -> Decision:
        """As for any instance."""
        uid = request.sop_instance_uid
        if self._fetch_id and uid not in self._known and is_uid(uid):
            self._fetches.widen(self._fetch_id, uid)
            self._known.add(uid)
        return super().decide(request)


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


def _waiting(claims: Claims, sop_instance_uids: Collection[str]) -> set[str]:
    return {uid for uid in sop_instance_uids if (holder := claims.holder(uid)) is not None and holder.durable}


def _kept(
    waiting: Callable[[Collection[str]], set[str]], held: PostgresHeldInstances, sop_instance_uids: Collection[str]
) -> set[str]:
    """Looked for in the spool first: whatever gets its row leaves the spool after that."""
    spooled = waiting(sop_instance_uids)
    rest: Sequence[str] = [uid for uid in sop_instance_uids if uid not in spooled]
    return spooled | (held.of(rest).keys() if rest else set())
