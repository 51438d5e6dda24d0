"""What other rooms may ask of storage; `storage.postgres` and `storage.objects` answer."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from storage.domain.account import Account, ApiToken, Credential, Role, TokenOwner
from storage.domain.algorithm import AlgorithmStage, RegisteredAlgorithm, Standing
from storage.domain.arrival import Arrival, QuarantinedObject
from storage.domain.association import Association
from storage.domain.audit_event import AuditAction, AuditEvent
from storage.domain.commitment import CommitmentReport, CommitmentRequest, HeldInstance
from storage.domain.delivery import DeliveryStanding, SendOutcome
from storage.domain.job import ClaimedJob, JobKind, JobState, Reason, Refusal
from storage.domain.not_analysed import EndedInference
from storage.domain.result import FrozenEvidence, FrozenFile, NewResult
from storage.domain.search import Found, FoundInstance, FoundSeries, FoundStudy, HeldObject, Page, SearchKeys
from storage.domain.study import InstanceHeader, KeepOutcome, QuarantineReason, StableStudy, StudySize, StudyState

Facts = dict[str, Any]  # a row, or several, as JSON can carry them; times are ISO 8601 in UTC


class IncomingInstance(Protocol):
    """One data set on its way into the spool; ``keep``, ``quarantine`` or ``discard`` ends it, and only one of them."""

    @property
    def size(self) -> int:
        """How many bytes of the data set have come."""
        ...

    def add(self, piece: bytes | memoryview) -> None:
        """Take the next bytes. They are not copied: leave them as they are until ``spill`` or the end."""
        ...

    def spill(self) -> None:
        """Write what has come to disk, so that its memory is free again; trouble with the disk is told at the end."""
        ...

    def head(self, limit: int) -> bytes:
        """The first bytes of the data set, at most ``limit``."""
        ...

    def discard(self) -> None:
        """Forget it; nothing stays."""
        ...


class InstanceSpool(Protocol):
    """The durable door-step: what it keeps survives a power cut, with or without a database."""

    def receive(self, part10_prefix: bytes) -> IncomingInstance:
        """Begin to take an instance; ``part10_prefix`` (PS3.10 section 7.1) will stand before what is received."""
        ...

    def keep(
        self, incoming: IncomingInstance, header: InstanceHeader, association: Association, received_at: datetime
    ) -> KeepOutcome:
        """Make one instance durable and say what became of it; when this returns, it may be acknowledged.

        On CONFLICT the second object is already in quarantine.

        Raises:
            SpoolFull: the cap or the watermark is reached, or a share of a peer or a study; nothing was kept.
            SpoolWriteFailed: a write or sync failed; it must not be acknowledged, though it may turn up all the same.
        """
        ...

    def quarantine(
        self,
        incoming: IncomingInstance,
        reason: QuarantineReason,
        sop_instance_uid: str,
        study_instance_uid: str,
        association: Association,
        received_at: datetime,
    ) -> None:
        """Set received bytes aside, durably; raises as ``keep`` does."""
        ...

    def record_association(self, association: Association) -> None:
        """Leave a note of an association that ended, for the importer, which makes it durable; raises as ``keep``."""
        ...


class CommitmentRequests(Protocol):
    """Requests for storage commitment, kept until their report has arrived."""

    def keep(self, request: CommitmentRequest) -> str:
        """Make a request durable and return its identifier.

        Raises:
            SpoolFull: too many wait.
            SpoolWriteFailed: the disk refuses it.
        """
        ...

    def undecided(self) -> Iterator[tuple[str, CommitmentRequest]]:
        """The requests whose answer is not known yet, oldest first."""
        ...

    def settle(self, request_id: str, failures: dict[str, int]) -> None:
        """The answer is known. Raises OSError."""
        ...

    def settled(self) -> Iterator[tuple[str, float]]:
        """Identifiers of the reports that nobody has taken, and for how many seconds each has been known."""
        ...

    def take(self, request_id: str) -> CommitmentReport | None:
        """Deliver a report, and nobody else may; ``None`` when it is not known or somebody does already."""
        ...

    def give_back(self, request_id: str) -> None:
        """It could not be delivered."""
        ...

    def forget(self, request_id: str) -> None:
        """It was delivered, or is given up."""
        ...


class HeldInstances(Protocol):
    """What is known of single instances."""

    def of(self, sop_instance_uids: Collection[str]) -> dict[str, HeldInstance]:
        """The instances of these UIDs that have a row, by UID. Raises DatabaseUnavailable."""
        ...


class StudyCatalog(Protocol):
    """What was received."""

    def stable_study(self, study_instance_uid: str, revision: int) -> StableStudy:
        """One revision of a study with the instances that count.

        Raises:
            UnknownRecord: no such revision.
            DamagedObject: a file is missing.
        """
        ...

    def received(self, study_instance_uid: str, revision: int) -> StableStudy:
        """The same, whether or not its files are still there. Raises UnknownRecord."""
        ...


class StudyIndex(Protocol):
    """Finding what is held: received instances and our own results; each method raises DatabaseUnavailable."""

    def search_studies(self, keys: SearchKeys, page: Page) -> Found[FoundStudy]:
        """The studies that match, newest first."""
        ...

    def search_series(self, keys: SearchKeys, page: Page) -> Found[FoundSeries]:
        """The series that match, with the studies they are in."""
        ...

    def search_instances(self, keys: SearchKeys, page: Page) -> Found[FoundInstance]:
        """The instances that match, with the series and studies they are in."""
        ...

    def objects(
        self, study_instance_uid: str, series_instance_uid: str | None = None, sop_instance_uid: str | None = None
    ) -> tuple[HeldObject, ...]:
        """Every object of a study, or of one series or instance in it; empty when there is none."""
        ...


class StudySettlement(Protocol):
    """For whoever says that a study is complete, instead of a quiet time."""

    def settle_now(self, study_instance_uid: str, sop_instance_uids: Collection[str], actor: str) -> bool:
        """Make the study stable as it is once it holds these instances; ``False`` while some of them have no row yet.

        Raises:
            DatabaseUnavailable: nothing was changed.
        """
        ...


class JobQueue(Protocol):
    """Work that is waiting, held and settled; every change is fenced by the lease token and audited."""

    def claim(self, kind: JobKind, worker: str) -> ClaimedJob | None:
        """Take the most urgent due job of this kind, spending one attempt; ``None`` when there is none."""
        ...

    def wait_for_work(self, kind: JobKind, timeout: float) -> None:
        """Return when a job of this kind may have become due, at the latest after ``timeout`` seconds."""
        ...

    def renew(self, job: ClaimedJob) -> None:
        """Ask for another lease period. Raises LeaseLost."""
        ...

    def complete_analysed(self, job: ClaimedJob, result: NewResult, destinations: Sequence[str]) -> int:
        """Freeze evidence and pictures, store the result, schedule a delivery per destination; return the result's id.

        Raises:
            LeaseLost: another worker holds the job now; nothing was changed.
        """
        ...

    def complete_not_analysed(self, job: ClaimedJob, reason: Reason, refusals: Sequence[Refusal]) -> None:
        """End an inference that found nothing it may analyse, and owe the report on it. Raises LeaseLost."""
        ...

    def ended_inference(self, notice: ClaimedJob) -> EndedInference:
        """The inference that a notice tells of. Raises UnknownRecord."""
        ...

    def complete_notice(self, job: ClaimedJob, told: NewResult, destinations: Sequence[str]) -> int | None:
        """Store the report and schedule its deliveries; ``None`` when it has nothing to tell any more.

        Raises:
            LeaseLost: another worker holds the job now; nothing was changed.
        """
        ...

    def complete_delivery(self, job: ClaimedJob, outcomes: Sequence[SendOutcome]) -> None:
        """Every instance of the result is at the destination. Raises LeaseLost."""
        ...

    def retry(
        self,
        job: ClaimedJob,
        reason: Reason,
        delay: timedelta,
        outcomes: Sequence[SendOutcome] = (),
        *,
        child_died: bool = False,
    ) -> None:
        """Give the job back for a later attempt; outcomes already known are kept. Raises LeaseLost.

        ``child_died`` counts one more process that the job ended.
        """
        ...

    def fail(
        self,
        job: ClaimedJob,
        reason: Reason,
        outcomes: Sequence[SendOutcome] = (),
        refusals: Sequence[Refusal] = (),
        *,
        child_died: bool = False,
    ) -> None:
        """Give the job up for an operator to look at, and owe the report on it. Raises LeaseLost.

        ``child_died`` counts one more process that the job ended.
        """
        ...


class DeliveryLog(Protocol):
    """Which evidence is still owed to which destination."""

    def undelivered(self, job: ClaimedJob) -> tuple[FrozenEvidence, ...]:
        """The instances of this delivery not yet acknowledged, in the order they must be sent."""
        ...

    def standing(self, job: ClaimedJob) -> DeliveryStanding:
        """What is known of this delivery before it is tried."""
        ...


class AlgorithmCatalog(Protocol):
    """Which algorithms are installed."""

    def add(
        self, algorithm: RegisteredAlgorithm, actor: str, golden: str | None = None, *, restored: bool = False
    ) -> None:
        """Record a version; one that is to be active is promoted in the same transaction."""
        ...

    def standing(self, name: str) -> Standing:
        """Where every version of a name stands now, to be shown again with the decision that is made on it."""
        ...

    def promote(
        self,
        name: str,
        version: str,
        actor: str,
        details: dict[str, str | int | float | None] | None = None,
        *,
        seen: Standing | None = None,
    ) -> RegisteredAlgorithm | None:
        """Give a version the work of its name from now on; return the version that had it, which is retired."""
        ...

    def shadow(self, name: str, version: str, actor: str, *, seen: Standing | None = None) -> None:
        """Give a version the same studies as the active one, with results that stay in the database."""
        ...

    def retire(self, name: str, version: str, actor: str, *, seen: Standing | None = None) -> None:
        """Give a version no more work; retiring the active one leaves its name without any."""
        ...

    def previous(self, name: str) -> RegisteredAlgorithm:
        """The version that was active before the one that was active last. Raises UnknownRecord."""
        ...

    def history(self, name: str, version: str) -> list[Facts]:
        """The audit rows about one version, oldest first."""
        ...

    def result_counts(self, name: str, version: str) -> dict[str, Facts]:
        """How many of a version's jobs came to what."""
        ...

    def find(self, name: str, version: str) -> RegisteredAlgorithm:
        """One version. Raises UnknownRecord."""
        ...

    def all(self, stage: AlgorithmStage | None = None) -> tuple[RegisteredAlgorithm, ...]:
        """Every version, newest first, or those of one stage."""
        ...


class AuditTrail(Protocol):
    """The rows that tell what was done; changes write their own row in their own transaction."""

    def record(self, event: AuditEvent) -> None:
        """Write an event that belongs to no other change, such as the start of a process."""
        ...


class SiteReading(Protocol):
    """What pages and metrics tell of the whole site, as plain dictionaries."""

    def studies(
        self,
        *,
        state: StudyState | None,
        days: int | None,
        before: tuple[datetime, str] | None,
        rows: int,
        accession_number: str | None = None,
    ) -> list[Facts]:
        """Studies, newest first, received in the last ``days`` and before the last one of the previous page."""
        ...

    def study_of(self, uid: str) -> str:
        """The Study Instance UID that a Study, Series or SOP Instance UID belongs to. Raises UnknownRecord."""
        ...

    def identity(self, study_instance_uid: str) -> Facts:
        """Whose study it is. Raises UnknownRecord."""
        ...

    def jobs(
        self,
        *,
        state: JobState | None = None,
        kind: JobKind | None = None,
        before: int | None = None,
        study_instance_uid: str | None = None,
        shadow: bool | None = None,
        rows: int,
    ) -> list[Facts]:
        """Jobs, newest first, with what may be done about each."""
        ...

    def summary(self, days: int) -> Facts:
        """Counts over the last ``days``, and the studies to look at."""
        ...

    def audit(
        self,
        *,
        action: AuditAction | None = None,
        actor: str | None = None,
        study_instance_uid: str | None = None,
        before: int | None = None,
        rows: int,
    ) -> list[Facts]:
        """Rows of the audit trail, newest first."""
        ...

    def change_marker(self, study_instance_uid: str | None = None) -> int:
        """A number that differs once anything that a page shows has changed, of one study or of all."""
        ...


class Monitoring(Protocol):
    """What algorithms have done, and whether what they are given has changed, as plain dictionaries."""

    def overview(self, days: float, name: str | None = None) -> Facts:
        """What every algorithm, or one, has done in the last ``days``, with the last look at its drift.

        Raises:
            UnknownRecord: no algorithm has this name.
        """
        ...

    def drift(self) -> Facts:
        """The last look at each group of results, and the alarms that have not ended."""
        ...


class StudyExplainer(Protocol):
    """Everything that is known about one study."""

    def explain(self, uid: str) -> Facts:
        """The facts that `storage.domain.explanation` makes sentences of. Raises UnknownRecord."""
        ...


class JobDesk(Protocol):
    """What an operator may do about work."""

    def cancel(self, job_id: int, actor: str) -> None:
        """Stop a job. Raises UnknownRecord or InvalidTransition."""
        ...

    def resubmit(self, job_id: int, actor: str) -> int:
        """Have the work of a finished job done again; return the new job's id. Raises as ``cancel``."""
        ...

    def submit(self, study_instance_uid: str, actor: str) -> list[int]:
        """Have a study analysed by the active algorithms that have not looked at it. Raises as ``cancel``."""
        ...


class AccountDirectory(Protocol):
    """Local accounts; every change and its audit row are one transaction."""

    def add(self, name: str, password_hash: str, roles: frozenset[Role], actor: str) -> None:
        """Make an account. Raises AccountRefused when the name is taken or cannot be one."""
        ...

    def all(self) -> tuple[Account, ...]:
        """Every account by name, disabled ones too."""
        ...

    def disable(self, name: str, actor: str) -> None:
        """Let the account log in no more and end its sessions. Raises UnknownRecord."""
        ...

    def enable(self, name: str, actor: str) -> None:
        """Let a disabled account log in again. Raises UnknownRecord."""
        ...

    def set_password(self, name: str, password_hash: str, actor: str) -> None:
        """Give the account another password and end its sessions. Raises UnknownRecord."""
        ...

    def set_roles(self, name: str, roles: frozenset[Role], actor: str) -> None:
        """Give the account these roles instead of those it had. Raises UnknownRecord."""
        ...

    def credential(self, name: str) -> Credential | None:
        """What a login under this name is checked against; ``None`` when there is no such account."""
        ...

    def rehash(self, credential: Credential, password_hash: str) -> None:
        """Replace the hash of a password by a stronger one of the same password, unless it changed meanwhile."""
        ...


class SessionStore(Protocol):
    """Who is logged in; a session is known by the SHA-256 of its token only."""

    def begin(self, name: str, token_sha256: str, address: str) -> bool:
        """Start a session, with the audit row of the login; ``False`` when the account may not log in any more."""
        ...

    def owner(self, token_sha256: str, *, touch: bool) -> Credential | None:
        """The account of a session that has not ended; ``touch`` says that somebody is using it."""
        ...

    def end(self, token_sha256: str, address: str) -> None:
        """End a session, with the audit row of the logout; nothing happens when it has ended already."""
        ...


class TokenStore(Protocol):
    """API tokens of accounts; one is known by the SHA-256 of its text only, and stays as a row when it is revoked."""

    def add(
        self, account: str, name: str, token_sha256: str, roles: frozenset[Role], lifetime: timedelta, actor: str
    ) -> None:
        """Give an account a token. Raises UnknownRecord, or AccountRefused for a taken name or too much of a role."""
        ...

    def all(self, account: str | None = None) -> tuple[ApiToken, ...]:
        """Every token, or those of one account, by account and name; revoked ones too."""
        ...

    def revoke(self, account: str, name: str, actor: str) -> None:
        """Let the token in no more. Raises UnknownRecord."""
        ...

    def owner(self, token_sha256: str) -> TokenOwner | None:
        """Whom a token stands for, noting that it was used; ``None`` when it is not in force."""
        ...


class ObjectPaths(Protocol):
    """Where the bytes of received instances are on this machine."""

    def instance(self, sop_instance_uid: str) -> Path:
        """The Part 10 file of a received instance, whether or not it exists yet."""
        ...


class EvidenceStore(Protocol):
    """Keeps the bytes of evidence and pictures as first written; names come from the digest of the content."""

    def freeze(self, pieces: Iterable[bytes]) -> FrozenFile:
        """Make the bytes durable under their SHA-256; freezing twice keeps one copy."""
        ...

    def evidence(self, sha256: str) -> Path:
        """The file that holds the bytes with this digest."""
        ...


class ArrivalLog(Protocol):
    """Rows for what the spool holds."""

    def digests(self, sop_instance_uids: Collection[str]) -> dict[str, str]:
        """The SHA-256 of each of these instances that has its row. Raises DatabaseUnavailable."""
        ...

    def record(
        self,
        arrivals: Sequence[Arrival],
        quarantined: Sequence[QuarantinedObject],
        associations: Sequence[Association],
    ) -> dict[str, StudySize]:
        """Write everything in one transaction, with its audit rows; recording the same thing twice changes nothing.

        Returns how much is held now of each study that something arrived of, by Study Instance UID.

        Raises:
            DatabaseUnavailable: nothing was written; the spool keeps everything.
        """
        ...

    def sizes(self, study_instance_uids: Collection[str]) -> dict[str, StudySize]:
        """How much is held of each of these studies that has a row. Raises DatabaseUnavailable."""
        ...

    def record_full_study(self, study_instance_uid: str, size: StudySize) -> None:
        """Write the audit row of a study that may have no more. Raises DatabaseUnavailable."""
        ...
