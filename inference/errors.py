"""What can go wrong between a stable study and its evidence."""

from storage.domain.job import Reason, Refusal


class InferenceError(Exception):
    """The inference could not be done."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class UnusableInput(InferenceError):
    """The images cannot be analysed as they are; trying again would not help.

    ``reason`` has a stable code and one sentence for an operator, without patient data. ``refusals`` are what was found
    of single series, where a series had to be chosen.
    """

    def __init__(self, code: str, sentence: str) -> None:
        self.reason = Reason(code, sentence)
        self.refusals: tuple[Refusal, ...] = ()
        super().__init__(sentence)


class InvalidAlgorithm(InferenceError):
    """The algorithm folder is not complete and consistent; the message says what to mend."""


class InvalidAcceptanceSet(InferenceError):
    """The acceptance set cannot be run; the message says what to mend."""


class ArtifactUnavailable(InferenceError):
    """The algorithm's model file is missing or is not the one that was registered."""


class DeviceUnavailable(InferenceError):
    """The device asked for is not offered by the installed ONNX Runtime; set [worker] device = "auto" or install it."""


class PredictionFailed(InferenceError):
    """The runtime could not run the algorithm on this machine; look at its memory and drivers."""


class OutOfMemory(PredictionFailed):
    """The analysis needs more memory than it may have; raise [worker] memory_gib or use smaller windows."""


class DeviceFull(PredictionFailed):
    """The memory of the device that runs networks is spent; free it, or set [worker] when_device_full = "cpu"."""

    may_wait = True  # whether the job is tried again later; ``when_device_full = "fail"`` forbids it


class InvalidOutput(InferenceError):
    """The algorithm produced numbers that are no result, such as NaN; nothing was concluded from them."""


class VaryingOutput(InvalidOutput):
    """The algorithm's output has another size for other values of an input of the same size; nothing was concluded."""


class DecodersUnavailable(InferenceError):
    """No process that decodes images can be started; check that the extra "model" is installed and memory is free."""


class ModelChildNotStarted(InferenceError):
    """The process that runs models does not start; look at the memory and the installation of this machine."""


class InstallationChanged(ModelChildNotStarted):
    """The installation was changed under the running worker; restart `overread work`, or all of Overread."""


class ModelChildLost(InferenceError):
    """The process that ran the job is gone; a fresh one takes its place.

    ``reason`` says how it ended and at which step, without patient data.
    """

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason.sentence)


class UnforeseenError(InferenceError):
    """A fault of ours in the process that runs models: the class of the error, and where it came from."""

    def __init__(self, kind: str, place: str) -> None:
        self.kind = kind
        self.place = place
        super().__init__(f"An unexpected {kind} in {place}.")
