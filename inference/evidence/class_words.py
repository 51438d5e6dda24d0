"""What a classification says, in the words of a report."""

from collections.abc import Sequence

from pydicom import Dataset

from inference.imaging.frames import image_key
from storage.domain.finding import Classification, Finding

_DIGITS = 2


def verdict(finding: Finding) -> str:
    """Whether the class counts as present: ``found``, ``not found``, or ``none found`` where no box was given."""
    if not finding.is_scored:
        return "none found"
    return "found" if _classified(finding).present else "not found"


def class_verdict(finding: Finding) -> str:
    """The class with its verdict, such as ``Tumour: not found``."""
    return f"{_classified(finding).label}: {verdict(finding)}"


def numbers(one: Classification) -> tuple[str, str]:
    """Probability and threshold with as many digits as it takes to see which one is higher."""
    digits = _DIGITS
    while digits < 7 and _differ(one) and f"{one.probability:.{digits}f}" == f"{one.threshold:.{digits}f}":
        digits += 1
    return f"{one.probability:.{digits}f}", f"{one.threshold:.{digits}f}"


def sentence(finding: Finding, sources: Sequence[Dataset]) -> str:
    """The finding in one sentence, such as radiologists read it."""
    one = _classified(finding)
    if not finding.is_scored:
        return f"{class_verdict(finding)} (threshold {numbers(one)[1]}, {_origin(one)})"
    probability, threshold = numbers(one)
    where = "" if len(sources) == 1 else f" on image {image_number(one.key_image, sources)}"
    highest = "probability" if len(sources) == 1 or one.images_examined == 1 else "highest probability"
    return f"{class_verdict(finding)}; {highest} {probability}{where}, threshold {threshold} ({_origin(one)})"


def examined_words(findings: Sequence[Finding], sources: Sequence[Dataset]) -> str:
    """How many images there are, and which of them the algorithm looked at where it left some out.

    Such as ``256 images``, ``250 of 256 images examined`` or ``1 of 256 images examined: image 129``.
    """
    images = "1 image" if len(sources) == 1 else f"{len(sources)} images"
    for finding in findings:
        one = finding.classification
        if one is None or one.images_examined >= one.images:
            continue
        alone = one.images_examined == 1 and finding.is_scored
        which = f": image {image_number(one.key_image, sources)}" if alone else ""
        return f"{one.images_examined} of {images} examined{which}"
    return images


def examined_parameter(finding: Finding, sources: Sequence[Dataset]) -> list[str]:
    """The same as a parameter of the algorithm, for a report that counts no images; none where all were examined."""
    words = examined_words([finding], sources)
    return [words] if "examined" in words else []


def image_number(image: tuple[str, int | None], sources: Sequence[Dataset]) -> int:
    """What viewers call an image: its Instance Number, or its place in the series where it has none.

    ``image`` is its key (``frames.image_key``); a frame is called by its number.
    """
    for place, source in enumerate(sources, start=1):
        if image_key(source) == image:
            if image[1] is not None:
                return image[1]
            try:
                return int(source.get("InstanceNumber"))
            except (TypeError, ValueError):
                return place
    raise ValueError("The image is not among the sources.")


def threshold_words(finding: Finding) -> str:
    """The threshold with where it came from, such as ``0.62 (chosen on validation)``."""
    one = _classified(finding)
    return f"{one.threshold:g} ({_origin(one)})"


def _classified(finding: Finding) -> Classification:
    assert finding.classification is not None  # noqa: S101 - findings of classes have one
    return finding.classification


def _origin(one: Classification) -> str:
    """The sentence on the threshold, fit to stand in brackets."""
    words = one.threshold_origin.strip().rstrip(".")
    return words if words[1:2].isupper() else words[:1].lower() + words[1:]


def _differ(one: Classification) -> bool:
    return one.probability != one.threshold
