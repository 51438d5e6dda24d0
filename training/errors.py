"""What can go wrong between raw images and an exported algorithm; each message says what to do."""


class TrainingError(Exception):
    """The training room could not do it."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class MissingExtra(TrainingError):
    """Training needs packages that are not installed; install the extras train and cpu."""


class InvalidConfiguration(TrainingError):
    """The training configuration is not valid; the message names the key to correct."""


class InvalidDataset(TrainingError):
    """The data set's folder is not complete and consistent; make it again with `overread dataset`."""


class StraddlingDataset(InvalidDataset):
    """Images of one group, or the same bytes, stand in several splits, so no figure would mean anything."""


class InvalidRun(TrainingError):
    """The folder holds no finished run of `overread train`."""


class ExportDiffers(TrainingError):
    """The exported network does not compute what the trained one does; nothing was written."""


class NotExpressible(TrainingError):
    """A manifest cannot express what another framework does; the message says what."""


class UntrustedCheckpoint(TrainingError):
    """The checkpoint asks for code that is not on our list, or is damaged; it was not opened."""


class ConversionFailed(TrainingError):
    """The published network could not be converted; install the pinned versions and run it again."""
