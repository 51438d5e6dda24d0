"""Finding what is held: studies, series and instances by their attributes, our own results among them."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from storage.domain.search import (
    Found,
    FoundInstance,
    FoundSeries,
    FoundStudy,
    HeldObject,
    ObjectOrigin,
    Page,
    SearchKeys,
)
from storage.postgres.engine import Database
from storage.postgres.statement import statement
from storage.postgres.stored_text import stored_number, stored_text


class _Files(Protocol):
    def instance(self, sop_instance_uid: str) -> Path: ...

    def evidence(self, sha256: str) -> Path: ...


class PostgresStudyIndex:
    """Implements the port StudyIndex; every method raises DatabaseUnavailable while the server does not answer."""

    def __init__(self, database: Database, files: _Files) -> None:
        self._database = database
        self._files = files

    def search_studies(self, keys: SearchKeys, page: Page) -> Found[FoundStudy]:
        """The studies that match, newest first."""
        rows = self._ask("search_studies", keys, page)
        return Found(
            tuple(self._study(row, self._files.instance(row["example_uid"]), row["instance_count"]) for row in rows),
            _total(rows),
        )

    def search_series(self, keys: SearchKeys, page: Page) -> Found[FoundSeries]:
        """The series that match, with the studies they are in."""
        rows = self._ask("search_series", keys, page)
        return Found(tuple(self._series(row, self._path(row, row["example_uid"])) for row in rows), _total(rows))

    def search_instances(self, keys: SearchKeys, page: Page) -> Found[FoundInstance]:
        """The instances that match, with the series and studies they are in."""
        rows = self._ask("search_instances", keys, page)
        return Found(
            tuple(
                FoundInstance(self._series(row, self._path(row, row["sop_instance_uid"])), self._object(row))
                for row in rows
            ),
            _total(rows),
        )

    def objects(
        self, study_instance_uid: str, series_instance_uid: str | None = None, sop_instance_uid: str | None = None
    ) -> tuple[HeldObject, ...]:
        """Every object of a study, or of one series or instance in it; empty when there is none."""
        with self._database.transaction() as session:
            rows = session.execute(
                statement("objects_of_study"),
                {
                    "study_instance_uid": stored_text(study_instance_uid),
                    "series_instance_uid": _text(series_instance_uid),
                    "sop_instance_uid": _text(sop_instance_uid),
                },
            ).mappings()
            return tuple(self._object(row) for row in rows)

    def _ask(self, name: str, keys: SearchKeys, page: Page) -> list[Mapping[Any, Any]]:
        parameters = {key: _bound(key, value) for key, value in asdict(keys).items()}
        with self._database.transaction() as session:
            return list(
                session.execute(
                    statement(name), {**parameters, "limit": page.limit, "offset": stored_number(page.offset)}
                ).mappings()
            )

    def _study(self, row: Mapping[Any, Any], example: Path, instances: int) -> FoundStudy:
        return FoundStudy(
            study_instance_uid=row["study_instance_uid"],
            patient_id=row["patient_id"],
            issuer_of_patient_id=row["issuer_of_patient_id"],
            accession_number=row["accession_number"],
            study_date=row["study_date"],
            modalities=tuple(row["modalities"]),
            series_count=row["series_count"],
            instance_count=instances,
            example=example,
        )

    def _series(self, row: Mapping[Any, Any], example: Path) -> FoundSeries:
        return FoundSeries(
            study=self._study(row, example, row["study_instance_count"]),
            series_instance_uid=row["series_instance_uid"],
            modality=row["modality"],
            body_part_examined=row["body_part_examined"],
            series_description=row["series_description"],
            series_number=row["series_number"],
            instance_count=row["instance_count"],
            example=example,
        )

    def _object(self, row: Mapping[Any, Any]) -> HeldObject:
        return HeldObject(
            study_instance_uid=row["study_instance_uid"],
            series_instance_uid=row["series_instance_uid"],
            sop_instance_uid=row["sop_instance_uid"],
            sop_class_uid=row["sop_class_uid"],
            transfer_syntax_uid=row["transfer_syntax_uid"],
            instance_number=row["instance_number"],
            origin=ObjectOrigin(row["origin"]),
            path=self._path(row, row["sop_instance_uid"]),
        )

    def _path(self, row: Mapping[Any, Any], sop_instance_uid: str) -> Path:
        if row["origin"] == ObjectOrigin.RESULT:
            return self._files.evidence(row["sha256"])
        return self._files.instance(sop_instance_uid)


def _total(rows: list[Mapping[Any, Any]]) -> int:
    return int(rows[0]["total"]) if rows else 0


def _bound(key: str, value: object) -> object:
    """A key as its statement takes it: UIDs as an array, numbers as they are, other text as a pattern for LIKE."""
    if isinstance(value, tuple):
        return [stored_text(uid) for uid in value]
    if isinstance(value, str):
        return _pattern(stored_text(value))
    return stored_number(value) if isinstance(value, int) else value


def _text(value: str | None) -> str | None:
    return None if value is None else stored_text(value)


def _pattern(text: str) -> str:
    """The wild cards of the Standard as those of LIKE, whose own stand for themselves."""
    for literal in "\\%_":
        text = text.replace(literal, f"\\{literal}")
    return text.replace("*", "%").replace("?", "_")
