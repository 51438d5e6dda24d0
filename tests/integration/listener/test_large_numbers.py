"""Valid use that would exhaust what others need: endless studies, countless studies, countless frames."""

from pydicom.filereader import dcmread

from storage.settings import SpoolSettings
from tests.peers.raw_sender import EXPLICIT, associated, ct_data_set, element, pixels, rows, send
from tests.peers.spool_content import waiting

_GRAYSCALE_BYTES = "1.2.840.10008.5.1.4.1.1.7.2"  # Multi-frame Grayscale Byte Secondary Capture
_REFUSED = 0xA700


def _send(association, uid: str, study: str, text: bytes = b"x") -> int | None:
    return send(association, ct_data_set(uid, text, study), uid)


def test_a_study_that_never_ends_is_refused_and_nothing_else(open_door, database_url):
    """Past the quota 0xA700; on the same association another study is stored and what is held stays a success."""
    door = open_door(SpoolSettings(min_free_bytes=0, most_instances_per_study=5))
    importer = door.importer(database_url)
    with associated(door.port) as association:
        for number in range(8):  # what waits when the quota is noticed was promised
            assert _send(association, f"1.2.3.{number}", "1.2.3") == 0x0000
        importer.import_pending()

        assert _send(association, "1.2.3.8", "1.2.3") == _REFUSED
        assert _send(association, "1.2.3.7", "1.2.3", b"other") == _REFUSED
        assert _send(association, "1.2.3.7", "1.2.3") == 0x0000
        assert _send(association, "1.2.4.1", "1.2.4") == 0x0000
    importer.import_pending()

    assert rows(database_url, "SELECT study_instance_uid, instance_count FROM study ORDER BY 1") == [
        ("1.2.3", 8),
        ("1.2.4", 1),
    ]
    assert rows(database_url, "SELECT count(*) FROM instance") == [(9,)]
    assert rows(database_url, "SELECT count(*) FROM quarantined_object") == [(0,)]
    assert rows(
        database_url, "SELECT study_instance_uid, details ->> 'instances' FROM audit_event WHERE action = 'study-full'"
    ) == [("1.2.3", "8")]


def test_a_raised_quota_opens_the_study_at_the_next_start(open_door, database_url):
    """A study that is legitimately large goes on once an administrator has said so."""
    door = open_door(SpoolSettings(min_free_bytes=0, most_instances_per_study=1))
    with associated(door.port) as association:
        assert _send(association, "1.2.3.1", "1.2.3") == 0x0000
        door.importer(database_url).import_pending()
        assert _send(association, "1.2.3.2", "1.2.3") == _REFUSED

    door = open_door(SpoolSettings(min_free_bytes=0, most_instances_per_study=2))
    door.importer(database_url).import_pending()

    with associated(door.port) as association:
        assert _send(association, "1.2.3.2", "1.2.3") == 0x0000


def test_countless_tiny_studies_of_one_peer_leave_room_for_another(open_door, database_url):
    """Without a database one peer fills its share with studies of one instance; another's is stored meanwhile."""
    door = open_door(SpoolSettings(min_free_bytes=0, cap_bytes=1_000_000, peer_share=0.5))
    with associated(door.port, calling="FLOOD") as flood:
        statuses = [_send(flood, f"1.2.{number}.1", f"1.2.{number}") for number in range(1, 601)]
        stored = statuses.count(0x0000)
        assert statuses == [0x0000] * stored + [_REFUSED] * (600 - stored)
        assert 100 < stored < 600

        with associated(door.port, calling="CT1") as other:
            assert _send(other, "1.3.1", "1.3") == 0x0000
        door.importer(database_url).import_pending()
        assert _send(flood, "1.2.600.1", "1.2.600") == 0x0000

    assert rows(database_url, "SELECT count(*) FROM study") == [(stored + 1,)]


def test_countless_frames_cost_what_was_sent(open_door, database_url):
    """An object that says it has 100,000 frames is kept bit for bit; no frame is looked for."""
    door = open_door()
    uid = "1.2.3.1"
    data_set = b"".join(
        (
            element(0x0008, 0x0016, b"UI", _GRAYSCALE_BYTES.encode()),
            element(0x0008, 0x0018, b"UI", uid.encode()),
            element(0x0020, 0x000D, b"UI", b"1.2.3"),
            element(0x0020, 0x000E, b"UI", b"1.2.3.4"),
            element(0x0028, 0x0008, b"IS", b"100000"),
            element(0x0028, 0x0010, b"US", (65535).to_bytes(2, "little")),
            element(0x0028, 0x0011, b"US", (65535).to_bytes(2, "little")),
            pixels(64),
        )
    )
    with associated(door.port, contexts=((_GRAYSCALE_BYTES, EXPLICIT),)) as association:
        assert send(association, data_set, uid, sop_class_uid=_GRAYSCALE_BYTES) == 0x0000
    [record] = waiting(door.folder.root)
    assert record.data[record.prefix_length :] == data_set

    door.importer(database_url).import_pending()

    [file] = door.folder.objects.rglob("*.dcm")
    assert dcmread(file).NumberOfFrames == 100_000
    assert rows(database_url, "SELECT size FROM instance") == [(len(data_set),)]
