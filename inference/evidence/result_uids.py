"""UIDs of results, derived instead of drawn: the same job run twice names its objects alike."""

import hashlib
import hmac
import uuid
from dataclasses import dataclass, field

UID_NAMESPACE = b"overread result 1"


@dataclass(frozen=True, slots=True)
class SeriesNaming:
    """How a site numbers and calls the series of our results.

    ``number_base`` is the Series Number (0020,0011) of segmentations, from which the others follow;
    ``description_prefix`` stands at the beginning of each Series Description (0008,103E).
    """

    number_base: int = 9001
    description_prefix: str = ""

    def parts(self) -> tuple[str, ...]:
        """What UIDs are derived from: nothing where a site has set nothing, so that no UID changes by itself."""
        return () if self == USUAL_NAMING else ("series naming", str(self.number_base), self.description_prefix)


USUAL_NAMING = SeriesNaming()


@dataclass(frozen=True, slots=True)
class ResultIdentity:
    """What makes a result this result and no other.

    ``site_secret`` keeps two hospitals that analyse the same images apart, and keeps UIDs from being guessed;
    ``input_sha256s`` are the digests of the analysed data sets, ``artifact_sha256`` and ``manifest_sha256`` those
    of the algorithm; ``naming`` stands in the objects, so another one makes other bytes. Changing any of them changes
    every UID of the result. The revision of the study is not among
    them: a late report makes a new revision of the same images, whose result has to be the same objects, or two
    services behind one PACS would answer each other for ever.
    """

    site_secret: bytes = field(repr=False)
    study_instance_uid: str
    input_sha256s: tuple[str, ...]
    artifact_sha256: str
    manifest_sha256: str
    naming: SeriesNaming = USUAL_NAMING

    def uid(self, role: str) -> str:
        """The UID of one part of the result, such as ``segmentation``, ``report-series`` or ``tracking liver``.

        The form is ``2.25.`` and a UUID as an integer (PS3.5 section B.2).
        """
        return _derived_uid(
            self.site_secret,
            "result",
            role,
            self.study_instance_uid,
            self.artifact_sha256,
            self.manifest_sha256,
            *sorted(self.input_sha256s),
            *self.naming.parts(),
        )

    def device_uid(self) -> str:
        """The Device UID (0018,1002) of the algorithm: the same in every study, another one for other model bytes."""
        return _derived_uid(self.site_secret, "algorithm", self.artifact_sha256, self.manifest_sha256)

    def service_serial_number(self) -> str:
        """A Device Serial Number (0018,1000) for this installation; it tells nothing of the secret."""
        return _digest(self.site_secret, "service").hex()[:16]


def _derived_uid(secret: bytes, *parts: str) -> str:
    return f"2.25.{uuid.UUID(bytes=_digest(secret, *parts)[:16], version=5).int}"


def _digest(secret: bytes, *parts: str) -> bytes:
    # Each part carries its length, so that ("ab", "c") and ("a", "bc") differ.
    encoded = [part.encode() for part in parts]
    message = b"".join(len(part).to_bytes(4, "big") + part for part in (UID_NAMESPACE, *encoded))
    return hmac.new(secret, message, hashlib.sha256).digest()
