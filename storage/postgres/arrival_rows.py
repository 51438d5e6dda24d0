"""Arrivals as the rows that the `record_*` statements take; text is made storable here."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from storage.domain.arrival import Arrival, QuarantinedObject
from storage.domain.association import Association, AssociationEnd
from storage.domain.derived_object import exclusion_by_class
from storage.domain.image_record import ImageRecord
from storage.domain.self_test import is_self_test
from storage.domain.series_attributes import SeriesAttributes
from storage.domain.study import ExclusionRule
from storage.postgres.stored_text import stored_number, stored_text


def as_rows(rows: Iterable[Mapping[str, Any]]) -> str:
    """The rows as one JSON parameter; one round trip carries any number of them."""
    return json.dumps([dict(row) for row in rows], default=str)


def association_row(association: Association) -> dict[str, Any]:
    """One association; an end without a time takes the time of its start, so that no note is refused."""
    ended_at = None if association.end is AssociationEnd.OPEN else association.ended_at or association.started_at
    return {
        "association_id": association.association_id,
        "calling_ae_title": stored_text(association.calling_ae_title),
        "called_ae_title": stored_text(association.called_ae_title),
        "remote_address": stored_text(association.remote_address),
        "started_at": association.started_at,
        "ended_at": ended_at,
        "ending": str(association.end),
        "stored_count": association.stored_count,
        "refused_count": association.refused_count,
        "reason": stored_text(association.reason),
        "door": str(association.door),
        "account": stored_text(association.account),
    }


def study_row(arrival: Arrival) -> dict[str, Any]:
    """The study as this instance describes it."""
    header = arrival.header
    return {
        "study_instance_uid": header.study_instance_uid,
        "patient_id": stored_text(header.patient_id),
        "issuer_of_patient_id": stored_text(header.issuer_of_patient_id),
        "accession_number": stored_text(header.accession_number),
        "study_date": header.study_date,
    }


def series_row(study_id: int, arrival: Arrival) -> dict[str, Any]:
    """The series as this instance describes it."""
    header = arrival.header
    return {
        "study_id": study_id,
        "series_instance_uid": header.series_instance_uid,
        "modality": stored_text(header.modality),
        "body_part_examined": stored_text(header.body_part_examined),
        "series_description": stored_text(header.series_description),
        "series_number": stored_number(header.series_number),
    }


def instance_row(study_id: int, arrival: Arrival) -> dict[str, Any]:
    """The instance itself; a rule that does not depend on other rows is applied here."""
    header = arrival.header
    return {
        "study_id": study_id,
        "series_instance_uid": header.series_instance_uid,
        "sop_instance_uid": header.sop_instance_uid,
        "sop_class_uid": header.sop_class_uid,
        "transfer_syntax_uid": header.transfer_syntax_uid,
        "instance_number": stored_number(header.instance_number),
        "sha256": arrival.sha256,
        "size": arrival.size,
        "association_id": arrival.association.association_id,
        "received_at": arrival.received_at,
        "excluded_rule": _excluded_rule(arrival),
    }


def image_row(arrival: Arrival) -> dict[str, Any] | None:
    """What the instance says of its image, ``None`` when that is not known or does not fit into a row."""
    image = arrival.image
    if image is None or not -(2**63) < image.number_of_frames < 2**63:
        return None
    fields = {name: getattr(image, name) for name in ImageRecord.__slots__}
    photometric = stored_text(image.photometric_interpretation)
    return fields | {"sop_instance_uid": arrival.header.sop_instance_uid, "photometric_interpretation": photometric}


def attributes_row(study_id: int, arrival: Arrival) -> dict[str, Any] | None:
    """What the instance says of its series, ``None`` when it was not read for that."""
    if arrival.attributes is None:
        return None
    said = {name: stored_text(getattr(arrival.attributes, name)) for name in SeriesAttributes.__slots__}
    return said | {"study_id": study_id, "series_instance_uid": arrival.header.series_instance_uid}


def _excluded_rule(arrival: Arrival) -> ExclusionRule | None:
    if is_self_test(arrival.header.patient_id):
        return ExclusionRule.SELF_TEST
    by_class = exclusion_by_class(arrival.header.sop_class_uid)
    return by_class or (ExclusionRule.AI_RESULT if arrival.declares is not None else None)


def quarantined_row(thing: QuarantinedObject) -> dict[str, Any]:
    """One object that was set aside."""
    return {
        "quarantine_id": thing.quarantine_id,
        "reason": str(thing.reason),
        "sop_instance_uid": stored_text(thing.sop_instance_uid),
        "study_instance_uid": stored_text(thing.study_instance_uid),
        "sha256": thing.sha256,
        "size": thing.size,
        "association_id": thing.association.association_id,
        "received_at": thing.received_at,
    }
