"""What we let a peer send: every storage SOP Class of the Standard in every transfer syntax (PS3.4 B.5, PS3.5 10).

We keep the bytes as they come, so nothing has to be decoded to be accepted. Whether an algorithm can read an
instance is decided later, where the reason can be told.
"""

from collections.abc import Iterable

from pydicom.uid import AllTransferSyntaxes, ImplicitVRLittleEndian
from pynetdicom.presentation import AllStoragePresentationContexts

from listener.settings import ListenerSettings

# Retired storage SOP Classes (PS3.4 section B.6): archives still hold and send them.
RETIRED_STORAGE_CLASSES: dict[str, str] = {
    "1.2.840.10008.5.1.1.27": "StoredPrintStorage",
    "1.2.840.10008.5.1.1.29": "HardcopyGrayscaleImageStorage",
    "1.2.840.10008.5.1.1.30": "HardcopyColorImageStorage",
    "1.2.840.10008.5.1.4.1.1.3": "UltrasoundMultiFrameImageStorageRetired",
    "1.2.840.10008.5.1.4.1.1.5": "NuclearMedicineImageStorageRetired",
    "1.2.840.10008.5.1.4.1.1.6": "UltrasoundImageStorageRetired",
    "1.2.840.10008.5.1.4.1.1.8": "StandaloneOverlayStorage",
    "1.2.840.10008.5.1.4.1.1.9": "StandaloneCurveStorage",
    "1.2.840.10008.5.1.4.1.1.9.1": "WaveformStorageTrial",
    "1.2.840.10008.5.1.4.1.1.10": "StandaloneModalityLUTStorage",
    "1.2.840.10008.5.1.4.1.1.11": "StandaloneVOILUTStorage",
    "1.2.840.10008.5.1.4.1.1.12.3": "XRayAngiographicBiPlaneImageStorage",
    "1.2.840.10008.5.1.4.1.1.77.1": "VLImageStorageTrial",
    "1.2.840.10008.5.1.4.1.1.77.2": "VLMultiFrameImageStorageTrial",
    "1.2.840.10008.5.1.4.1.1.88.1": "TextSRStorageTrial",
    "1.2.840.10008.5.1.4.1.1.88.2": "AudioSRStorageTrial",
    "1.2.840.10008.5.1.4.1.1.88.3": "DetailSRStorageTrial",
    "1.2.840.10008.5.1.4.1.1.88.4": "ComprehensiveSRStorageTrial",
    "1.2.840.10008.5.1.4.1.1.129": "StandalonePETCurveStorage",
    "1.2.840.10008.5.1.4.34.1": "RTBeamsDeliveryInstructionStorageTrial",
}

# In the Standard, but not among the transfer syntaxes that pydicom offers.
_FURTHER_TRANSFER_SYNTAXES = (
    "1.2.840.10008.1.2.1.98",  # Encapsulated Uncompressed Explicit VR Little Endian
    "1.2.840.10008.1.2.8.1",  # Deflated Image Frame Compression
    "1.2.840.10008.1.2.4.94",  # JPIP Referenced
    "1.2.840.10008.1.2.4.95",  # JPIP Referenced Deflate
    "1.2.840.10008.1.2.4.110",  # JPEG XL Lossless
    "1.2.840.10008.1.2.4.111",  # JPEG XL JPEG Recompression
    "1.2.840.10008.1.2.4.112",  # JPEG XL
    *(f"1.2.840.10008.1.2.4.{number}" for number in (52, 53, 54, 55, 56, 58, 59, *range(60, 67))),  # retired JPEG
)

# The whole data set is deflated (PS3.5 sections A.5, A.7, A.13): a few bytes can stand for very many.
DEFLATED_TRANSFER_SYNTAXES = (
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.4.95",
    "1.2.840.10008.1.2.4.205",
)

TRANSFER_SYNTAXES: tuple[str, ...] = tuple(
    uid
    for uid in dict.fromkeys([*AllTransferSyntaxes, *_FURTHER_TRANSFER_SYNTAXES])
    if uid not in DEFLATED_TRANSFER_SYNTAXES
)

STORAGE_CLASSES = frozenset(
    {str(context.abstract_syntax) for context in AllStoragePresentationContexts} | RETIRED_STORAGE_CLASSES.keys()
)


VERIFICATION = "1.2.840.10008.1.1"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
INSTANCE_AVAILABILITY = "1.2.840.10008.5.1.4.33"
NOT_STORAGE = frozenset({VERIFICATION, STORAGE_COMMITMENT, INSTANCE_AVAILABILITY})
_OF_THE_STANDARD = "1.2.840.10008."
_READ_AND_WRITTEN = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")  # its data sets are read and written, not only kept


def is_never_stored(sop_class_uid: str) -> bool:
    """Whether no setting lets an instance of this class in: it is of the Standard, and is none of storage."""
    return sop_class_uid.startswith(_OF_THE_STANDARD) and sop_class_uid not in STORAGE_CLASSES


class Repertoire:
    """What is accepted under these settings."""

    def __init__(self, settings: ListenerSettings, commitment: bool = False, availability: bool = False) -> None:
        served = ((STORAGE_COMMITMENT, commitment), (INSTANCE_AVAILABILITY, availability))
        self._normalized = frozenset(uid for uid, is_served in served if is_served)
        self._classes = STORAGE_CLASSES | {VERIFICATION} | set(settings.further_sop_classes)
        self._syntaxes = {*TRANSFER_SYNTAXES, *settings.further_transfer_syntaxes}
        if settings.deflated_transfer_syntaxes:
            self._syntaxes.update(DEFLATED_TRANSFER_SYNTAXES)

    def offered(self, abstract_syntax: str, proposed: Iterable[str]) -> list[str] | None:
        """The transfer syntaxes we accept of those proposed for this abstract syntax; ``None`` when it is not served.

        They stand in the peer's order, which spares it a conversion, and the default one last: Implicit VR Little
        Endian is what every peer must offer (PS3.5 section 10.1), and it forgets the value representations of private
        elements, so anything else is better.
        """
        if abstract_syntax in self._normalized:
            return [uid for uid in proposed if uid in _READ_AND_WRITTEN]
        if abstract_syntax not in self._classes:
            return None
        known = [uid for uid in dict.fromkeys(proposed) if uid in self._syntaxes]
        return sorted(known, key=lambda uid: uid == ImplicitVRLittleEndian)
