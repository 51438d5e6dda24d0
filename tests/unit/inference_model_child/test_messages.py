"""An error of the child is the same error for the worker, and nobody's data comes along."""

import errno
import inspect

import pytest

from inference import errors
from inference.model_child.messages import Failure, error_of, failure_of
from storage.domain.job import Reason, Refusal
from storage.errors import DamagedObject, UnknownRecord

# Those that only the worker's side gives, or that become another one before the child answers.
_NEVER_SENT = {
    errors.InferenceError,
    errors.ModelChildLost,
    errors.ModelChildNotStarted,
    errors.InstallationChanged,  # found by the worker before a child is asked
    errors.UnforeseenError,
    errors.InvalidAlgorithm,  # becomes ArtifactUnavailable where an installed algorithm is loaded
    errors.InvalidAcceptanceSet,  # read by the command line alone
    errors.UnusableInput,  # has more than a sentence; see below
}
_SENT = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.InferenceError) and kind not in _NEVER_SENT
]


@pytest.mark.parametrize("kind", [*_SENT, DamagedObject, UnknownRecord], ids=lambda kind: kind.__name__)
def test_every_error_arrives_as_what_it_was(kind: type[Exception]) -> None:
    """A new class of error is carried too, or this test fails: else the worker would take it for a fault of ours."""
    received = error_of(failure_of(kind("One sentence.")))

    assert type(received) is kind
    assert str(received) == "One sentence."


def test_unusable_input_keeps_what_was_found() -> None:
    """Code, sentence and the refusals of each series."""
    sent = errors.UnusableInput("gap", "Slices are missing.")
    sent.refusals = (Refusal("1.2.3", Reason("gap", "Slices are missing.")),)

    received = error_of(failure_of(sent))

    assert isinstance(received, errors.UnusableInput)
    assert (received.reason, received.refusals) == (sent.reason, sent.refusals)


def test_a_disk_that_fails_is_told_by_its_number() -> None:
    """No path travels."""
    received = error_of(failure_of(OSError(errno.EIO, "Doe^Jane", "/secret/path")))

    assert isinstance(received, OSError)
    assert received.errno == errno.EIO
    assert "secret" not in str(received)
    assert "Doe" not in str(received)


def test_memory_that_python_lacks_is_a_lack_of_memory() -> None:
    """Not only the runtime can run out of it."""
    assert isinstance(error_of(failure_of(MemoryError())), errors.OutOfMemory)


def test_an_unforeseen_error_says_nothing_but_its_class_and_place() -> None:
    """Its words may repeat what stood in an image."""
    try:
        raise KeyError("Doe^Jane")
    except KeyError as error:
        received = error_of(failure_of(error))

    assert isinstance(received, errors.UnforeseenError)
    assert received.kind == "KeyError"
    assert "test_an_unforeseen_error" in received.place
    assert "Doe" not in str(received)


@pytest.mark.parametrize("text", ["Doe^Jane", "", "a\nb", "KeyError" * 20])
def test_a_child_that_was_taken_over_puts_no_words_into_the_log(text: str) -> None:
    """What is no name of a class, and no place in a program, is replaced."""
    received = error_of(Failure("unforeseen", text, place=text))

    assert isinstance(received, errors.UnforeseenError)
    assert (received.kind, received.place) == ("error", "an unknown place")
