"""How many transactions of one process run at one time."""

from contextlib import ExitStack

from sqlalchemy import text

from listener.scu.main import connections_wanted
from listener.scu.settings import DestinationSettings
from storage.postgres.engine import open_database


def test_no_lane_waits_for_the_connection_of_another(database_url: str) -> None:
    """Ten destinations of two associations have a transaction in each lane, heartbeat, prover and counter at once."""
    places = [
        DestinationSettings(name=f"pacs{n}", host="127.0.0.1", port=104, ae_title="PACS", associations=2)
        for n in range(10)
    ]
    wanted = connections_wanted(places)
    assert wanted >= 10 * (2 * 2 + 2)
    database = open_database(database_url, "many lanes", wanted)
    try:
        with ExitStack() as held:
            for _ in range(wanted):
                held.enter_context(database.transaction()).execute(text("SELECT 1"))
    finally:
        database.close()
