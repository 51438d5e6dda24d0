"""The small JSON files of the spool: everything the rows will say, written before the acknowledgement."""

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from storage.domain.arrival import QuarantinedObject, SpooledInstance
from storage.domain.association import Association, AssociationEnd, Door
from storage.domain.study import InstanceHeader, QuarantineReason
from storage.errors import DamagedObject

_FORMAT = 1


def spooled_to_json(spooled: SpooledInstance) -> bytes:
    """The manifest of one instance."""
    return _dump(_fields(spooled) | {"header": _fields(spooled.header), "association": _fields(spooled.association)})


def spooled_from_json(content: bytes) -> SpooledInstance:
    """Read what ``spooled_to_json`` wrote. Raises DamagedObject."""
    fields = _load(content)
    try:
        return SpooledInstance(
            header=_header(fields["header"]),
            fingerprint=_text(fields.get("fingerprint") or fields["sha256"]),
            size=int(fields["size"]),
            association=_association(fields["association"]),
            received_at=_time(fields["received_at"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged() from error


def quarantined_to_json(quarantined: QuarantinedObject) -> bytes:
    """The note of bytes that were set aside."""
    return _dump(_fields(quarantined) | {"association": _fields(quarantined.association)})


def quarantined_from_json(content: bytes) -> QuarantinedObject:
    """Read what ``quarantined_to_json`` wrote. Raises DamagedObject."""
    fields = _load(content)
    try:
        return QuarantinedObject(
            quarantine_id=_text(fields["quarantine_id"]),
            reason=QuarantineReason(fields["reason"]),
            sop_instance_uid=_text(fields["sop_instance_uid"]),
            study_instance_uid=_text(fields["study_instance_uid"]),
            sha256=_text(fields["sha256"]),
            size=int(fields["size"]),
            association=_association(fields["association"]),
            received_at=_time(fields["received_at"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged() from error


def association_to_json(association: Association) -> bytes:
    """The note of an association that ended."""
    return _dump(_fields(association))


def association_from_json(content: bytes) -> Association:
    """Read what ``association_to_json`` wrote. Raises DamagedObject."""
    fields = _load(content)
    fields.pop("format")
    try:
        return _association(fields)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged() from error


def _fields(thing: SpooledInstance | QuarantinedObject | Association | InstanceHeader) -> dict[str, Any]:
    """The fields by name; ``dataclasses.asdict`` copies each value deeply, which took half of the time of a store."""
    return {name: getattr(thing, name) for name in type(thing).__slots__}


def _dump(fields: Mapping[str, Any]) -> bytes:
    return json.dumps({"format": _FORMAT, **fields}, default=_plain).encode()


def _plain(value: object) -> str:
    if isinstance(value, date):  # datetime is one too
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _load(content: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _damaged() from error
    if not isinstance(fields, dict) or fields.get("format") != _FORMAT:
        raise _damaged()
    return fields


def _damaged() -> DamagedObject:
    return DamagedObject("A manifest in the spool cannot be read; what it names is set aside in quarantine.")


def _header(fields: Mapping[str, Any]) -> InstanceHeader:
    others = ("study_date", "series_number", "instance_number")
    texts: dict[str, Any] = {name: _text(fields[name]) for name in fields if name not in others}
    study_date = fields["study_date"]
    return InstanceHeader(
        **texts,
        study_date=None if study_date is None else date.fromisoformat(study_date),
        series_number=_number(fields["series_number"]),
        instance_number=_number(fields["instance_number"]),
    )


def _number(value: object) -> int | None:
    if value is None or isinstance(value, int):
        return value
    raise TypeError("not a number")


def _association(fields: Mapping[str, Any]) -> Association:
    ended_at = fields["ended_at"]
    return Association(
        association_id=_text(fields["association_id"]),
        calling_ae_title=_text(fields["calling_ae_title"]),
        called_ae_title=_text(fields["called_ae_title"]),
        remote_address=_text(fields["remote_address"]),
        started_at=_time(fields["started_at"]),
        ended_at=None if ended_at is None else _time(ended_at),
        end=AssociationEnd(fields["end"]),
        stored_count=int(fields["stored_count"]),
        refused_count=int(fields["refused_count"]),
        reason=_text(fields["reason"]),
        door=Door(fields.get("door", Door.DIMSE)),  # a note of the release before has neither
        account=_text(fields.get("account", "")),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _time(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment
