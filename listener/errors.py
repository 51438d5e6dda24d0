"""What can go wrong at the doors; each docstring is the sentence an operator reads."""

from storage.domain.study import QuarantineReason


class ListenerError(Exception):
    """The listener could not do what was asked."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class PortBusy(ListenerError):
    """The listener's port is already in use; stop the other program or set another [listener] port."""


class WebPortBusy(ListenerError):
    """The web door's port is already in use; stop the other program or set another [web] port."""


class UnacceptableIdentity(ListenerError):
    """The UIDs of the data set are missing, malformed or not those it was sent under."""

    def __init__(self, reason: QuarantineReason, study_instance_uid: str = "") -> None:
        self.reason = reason
        self.study_instance_uid = study_instance_uid
        super().__init__()
