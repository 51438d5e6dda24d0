"""What can go wrong in storage; each docstring is the sentence an operator reads."""


class StorageError(Exception):
    """Storage could not do what was asked."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class InvalidIdentifier(StorageError):
    """The identifier does not follow the DICOM Standard."""


class InvalidTransition(StorageError):
    """The job's state does not allow this event."""


class StandingChanged(InvalidTransition):
    """Somebody else decided about the algorithm meanwhile, so nothing was changed; look at it and decide again."""


class LeaseLost(StorageError):
    """The lease on this job has passed to another worker, so nothing was changed."""


class UnknownRecord(StorageError):
    """No such record is known here."""


class SameVersion(StorageError):
    """A version would be compared with itself; name two versions."""


class CohortBusy(StorageError):
    """Another process runs this cohort; let it, or stop it first."""


class DatabaseUnavailable(StorageError):
    """The database does not answer; check that it runs and that [database] url is right."""


class SchemaOutdated(StorageError):
    """The database schema is not the one this release needs; run `overread db upgrade`."""


class SchemaBehind(SchemaOutdated):
    """The database has no schema yet, or an older one than this release needs; run `overread db upgrade`."""


class DataFolderBusy(StorageError):
    """Another Overread already uses this data folder; stop it or set another data_dir."""


class SpoolOfOlderRelease(StorageError):
    """The spool holds instances in the form of an older release; run that one's `overread listen` until none waits."""


class SpoolFull(StorageError):
    """The spool has reached its cap or the disk its watermark; free space or start the database."""


class StudyFull(SpoolFull):
    """The study has all that one study may have; raise most_instances_per_study or most_bytes_per_study in [spool]."""


class SpoolWriteFailed(StorageError):
    """The instance could not be made durable, so it was not acknowledged; check the disk."""


class SpoolUnreadable(StorageError):
    """The disk could not read an instance that waits in the spool; check the disk, reading is tried again by itself."""


class EvidenceNotStored(StorageError):
    """The result could not be written to disk; free space under data_dir, it is tried again by itself."""


class DamagedObject(StorageError):
    """A stored object no longer matches the digest recorded when it arrived; restore it from a backup."""


class WorklistFull(StorageError):
    """As many workitems are held as may be; create it again once older ones have ended and been removed."""


class SubscriberOfAnother(StorageError):
    """This AE title came with another account, which alone may subscribe and be told with it; use another title."""


class AccountRefused(StorageError):
    """The account could not be changed."""


class AuditTampered(StorageError):
    """The audit trail is not as it was written; run `overread audit verify` and keep everything as it is."""


class UnreadableDataSet(StorageError):
    """The data set cannot be read as DICOM."""


class MissingSequence(UnreadableDataSet):
    """The data set can be read as DICOM and lacks a sequence."""
