"""What may be repeated of a Modality (0008,0060): a sender can write anything into it, also a name."""

import re

# Longer than the pattern below; the others of the defined terms fit it (PS3.3 section C.7.3.1.1.1).
_LONG = frozenset({"CTPROTOCOL", "RTINTENT", "RTSEGANN", "RTSTRUCT", "TEXTUREMAP", "XAPROTOCOL"})
_LIKE_ONE = re.compile(r"[A-Z][A-Z0-9]{1,5}")


def shown_modality(modality: str, otherwise: str = "unknown modality") -> str:
    """The modality for a sentence: itself if it is a known one or looks like one, else other words."""
    return modality if modality in _LONG or _LIKE_ONE.fullmatch(modality) else otherwise
