"""Fault F9: two studies of one patient, series by series mixed over six associations of two senders."""

import contextlib
import itertools
import random
import threading

import psycopg2
import pytest

from storage.housekeeping.settle_studies import settle_studies
from storage.postgres.engine import open_database
from tests.peers.raw_sender import associated, ct_data_set, send

STUDIES, SERIES, IMAGES = 2, 3, 8


def _identities() -> list[tuple[str, str, str]]:
    """Study, series and instance of every image."""
    return [
        (f"1.2.3.{study}", f"1.2.3.{study}.{series}", f"1.2.3.{study}.{series}.{image}")
        for study, series, image in itertools.product(range(STUDIES), range(SERIES), range(IMAGES))
    ]


@pytest.mark.parametrize("seed", range(3))
def test_each_study_gets_all_of_its_images_and_one_job(listener_process, database_url, seed):
    """In any order, from both senders at once; three of the associations are still open when the studies settle."""
    listener = listener_process(database_url)
    images = _identities()
    random.Random(seed).shuffle(images)
    statuses: list[int | None] = []
    done, leave = threading.Barrier(7), threading.Event()

    def push(number: int) -> None:
        with associated(listener.port, calling=f"CT{number % 2}") as association:
            for message, (study, series, uid) in enumerate(images[number::6], 1):
                statuses.append(send(association, ct_data_set(uid, study=study, series=series), uid, message))
            if number >= 3:  # nothing hangs on the release
                done.wait()
                leave.wait()
                return
        done.wait()

    senders = [threading.Thread(target=push, args=(number,)) for number in range(6)]
    for sender in senders:
        sender.start()
    done.wait()
    try:
        assert statuses == [0x0000] * len(images)
        with contextlib.closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(
                "INSERT INTO algorithm (name, version, stage, folder, manifest_sha256, artifact_sha256) "
                "VALUES ('lungs', '1', 'active', '', repeat('a', 64), repeat('b', 64))"
            )
            held = 0
            while held < len(images):
                cursor.execute("SELECT count(*) FROM instance")
                ((held,),) = cursor.fetchall()
            database = open_database(database_url, "tests")
            assert settle_studies(database, 0) == STUDIES
            assert settle_studies(database, 0) == 0
            database.close()
            cursor.execute(
                "SELECT study_instance_uid, series_instance_uid, array_agg(sop_instance_uid ORDER BY sop_instance_uid) "
                "FROM instance JOIN series ON series.id = series_id JOIN study ON study.id = series.study_id "
                "WHERE instance.revision = 1 GROUP BY 1, 2"
            )
            assert {(study, series): uids for study, series, uids in cursor.fetchall()} == {
                key: sorted(uid for _, _, uid in each)
                for key, each in itertools.groupby(sorted(images), lambda one: one[:2])
            }
            cursor.execute("SELECT study_id, count(*) FROM job GROUP BY 1")
            assert [count for _, count in cursor.fetchall()] == [1] * STUDIES
    finally:
        leave.set()
        for sender in senders:
            sender.join()
    assert listener.terminate()[0] == 0
