"""The audit trail."""

from typing import Protocol

from storage.domain.audit_event import AuditEvent


class AuditTrail(Protocol):
    """The rows that tell what was done; changes write their own row in their own transaction."""

    def record(self, event: AuditEvent) -> None:
        """Write an event that belongs to no other change, such as the start of a process."""
        ...
