"""The table of a cohort as Parquet: one row for each finding, and one for each study without.

Columns are described in docs/reference/cohorts.md; a test holds page and table equal.
"""

import hmac
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.domain.cohort import Cohort
from storage.objects.durable import remove
from storage.ports.facts import Facts

_IN_GROUP = 10_000  # rows that are in memory
_KEY_LETTERS = 32

# Name → type; what only an identified table has stands in IDENTIFYING.
COLUMNS: dict[str, pa.DataType] = {
    "study": pa.string(),
    "patient": pa.string(),
    "study_year": pa.int32(),
    "modality": pa.string(),
    "state": pa.string(),
    "code": pa.string(),
    "algorithm": pa.string(),
    "version": pa.string(),
    "model_sha256": pa.string(),
    "findings": pa.int32(),
    "finding_number": pa.int32(),
    "finding": pa.string(),
    "finding_code": pa.string(),
    "finding_scheme": pa.string(),
    "site": pa.string(),
    "site_code": pa.string(),
    "class": pa.string(),
    "probability": pa.float64(),
    "threshold": pa.float64(),
    "present": pa.bool_(),
    "images_examined": pa.int32(),
    "images": pa.int32(),
}
IDENTIFYING: dict[str, pa.DataType] = {
    "study_instance_uid": pa.string(),
    "series_instance_uid": pa.string(),
    "patient_id": pa.string(),
    "issuer_of_patient_id": pa.string(),
    "study_date": pa.date32(),
    "reason": pa.string(),
}
RESEARCH_USE = "Results of algorithms, not verified; for research only."


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Keys in the place of identities: the same in every table of one cohort, and in no other."""

    secret: bytes
    cohort: str

    def of(self, kind: str, *identity: str) -> str:
        """HMAC-SHA256 of an identity under a key of the cohort, as hexadecimal text of 128 bits."""
        return hmac.digest(self._key, "\0".join((kind, *identity)).encode(), "sha256").hex()[:_KEY_LETTERS]

    @property
    def order_key(self) -> bytes:
        """The secret that the order of the rows follows from: another one for each cohort."""
        return hmac.digest(self._key, b"order", "sha256")

    @property
    def _key(self) -> bytes:
        return hmac.digest(self.secret, f"cohort table\0{self.cohort}".encode(), "sha256")


def write_table(
    path: Path, cohort: Cohort, rows: Iterable[Facts], pseudonyms: Pseudonyms, names: Iterable[str], identified: bool
) -> int:
    """Write the table beside its place and move it there when it is whole; how many rows it has.

    ``names`` are the columns of measurements, such as ``Volume (cm3)``.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    measured = dict.fromkeys(names, pa.float64())
    columns = COLUMNS | (IDENTIFYING if identified else {}) | measured
    schema = pa.schema(list(columns.items()), metadata=_metadata(cohort, identified))
    draft, count = path.with_name(f"{path.name}.part"), 0
    try:
        with pq.ParquetWriter(draft, schema) as writer:
            rest = iter(rows)
            while lines := [_line(row, cohort, pseudonyms, identified) for row in islice(rest, _IN_GROUP)]:
                writer.write_table(pa.Table.from_pylist(lines, schema=schema))
                count += len(lines)
        draft.replace(path)
    finally:
        remove(draft)
    return count


def measurement_columns(rows: Iterable[Facts]) -> list[str]:
    """The columns of all measurements, in the order of their names."""
    return sorted({name for row in rows for name, _ in _measurements(row["finding"] or {})})


def _metadata(cohort: Cohort, identified: bool) -> dict[str, str]:
    plan = cohort.plan
    of_patients = {"query": plan.query, "archive": plan.archive} if identified else {}
    told = {
        "cohort": plan.name,
        "algorithm": plan.algorithm_name,
        "version": plan.algorithm_version,
        "identified": str(identified).lower(),
        "use": RESEARCH_USE,
        **of_patients,
    }
    return {f"overread.{key}": value for key, value in told.items()}


def _line(row: Facts, cohort: Cohort, pseudonyms: Pseudonyms, identified: bool) -> dict[str, Any]:
    finding: Mapping[str, Any] = row["finding"] or {}
    kind, site, said = (finding.get(key) or {} for key in ("kind", "site", "classification"))
    uid, patient, issuer = row["study_instance_uid"], row["patient_id"], row["issuer_of_patient_id"] or ""
    line = {
        "study": pseudonyms.of("study", uid),
        "patient": pseudonyms.of("patient", patient, issuer) if patient else None,
        "study_year": row["study_date"].year if row["study_date"] else None,
        "modality": row["modality"],
        "state": row["state"],
        "code": row["reason_code"],
        "algorithm": cohort.plan.algorithm_name,
        "version": cohort.plan.algorithm_version,
        "model_sha256": row["model_sha256"],
        "findings": row["findings"],
        "finding_number": row["finding_number"],
        "finding": kind.get("meaning"),
        "finding_code": kind.get("value"),
        "finding_scheme": kind.get("scheme"),
        "site": site.get("meaning"),
        "site_code": site.get("value"),
        "class": said.get("label"),
        **{key: said.get(key) for key in ("probability", "threshold", "present", "images_examined", "images")},
        **dict(_measurements(finding)),
    }
    if identified:
        line |= {key: row[key] for key in IDENTIFYING if key != "reason"} | {"reason": row["reason_sentence"]}
    return line


def _measurements(finding: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for one in finding.get("measurements") or ():
        derivation = one.get("derivation") or {}
        how = f", {derivation['meaning']}" if derivation else ""
        yield f"{one['name']['meaning']}{how} ({one['unit']['value']})", one["value"]
