"""What can go wrong at the front desk; each docstring is the sentence an operator reads."""


class FrontDeskError(Exception):
    """The command could not be carried out."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class InvalidSettings(FrontDeskError):
    """The settings are not valid; run `overread config check` after correcting them."""


class RoleFailed(FrontDeskError):
    """A role ended right after its start; its own message stands above."""


class AcceptanceFailed(FrontDeskError):
    """A version fell short of its acceptance set; it was not promoted."""


class VerificationFailed(FrontDeskError):
    """An installed algorithm is not as it was added; add it again."""


class InstallationFailed(FrontDeskError):
    """The algorithm could not be copied; nothing was added."""


class DemoFailed(FrontDeskError):
    """The demonstration did not reach its end."""


class TortureFailed(FrontDeskError):
    """A fault run could not be carried out, or a promise was broken; its own message says which."""
