"""Anatomic regions as codes and as Body Part Examined (0018,0015): what PS3.16 annex L says of the common ones.

An enhanced image names its region by a code (PS3.3 section C.7.6.16.2.8), an algorithm names it as single-frame images
do.
"""

from collections.abc import Sequence

from pydicom import Dataset
from pydicom.sr.coding import Code

# SNOMED CT; three regions had other codes until 2021.
_BODY_PARTS: dict[str, str] = {
    "818981001": "ABDOMEN",
    "113345001": "ABDOMEN",
    "818982008": "ABDOMENPELVIS",
    "70258002": "ANKLE",
    "12738006": "BRAIN",
    "76752008": "BREAST",
    "816094009": "CHEST",
    "51185008": "CHEST",
    "416550000": "CHESTABDOMEN",
    "416775004": "CHESTABDPELVIS",
    "122494005": "CSPINE",
    "16953009": "ELBOW",
    "66019005": "EXTREMITY",
    "71341001": "FEMUR",
    "56459004": "FOOT",
    "85562004": "HAND",
    "69536005": "HEAD",
    "774007": "HEADNECK",
    "80891009": "HEART",
    "29836001": "HIP",
    "24136001": "HIP",
    "64033007": "KIDNEY",
    "72696002": "KNEE",
    "10200004": "LIVER",
    "122496007": "LSPINE",
    "39607008": "LUNG",
    "45048000": "NECK",
    "15776009": "PANCREAS",
    "816092008": "PELVIS",
    "12921003": "PELVIS",
    "41216001": "PROSTATE",
    "16982005": "SHOULDER",
    "89546000": "SKULL",
    "421060004": "SPINE",
    "122495006": "TSPINE",
    "38266002": "WHOLEBODY",
    "74670003": "WRIST",
}


def body_part(regions: Sequence[Dataset]) -> str:
    """The Body Part Examined of an Anatomic Region Sequence; empty where it names none of those known here."""
    for region in regions:
        given = Code(str(region.get("CodeValue") or ""), str(region.get("CodingSchemeDesignator") or ""), "")
        for value, name in _BODY_PARTS.items():
            if given == Code(value, "SCT", ""):  # equal too where it is given as SNOMED RT (PS3.16 section 8)
                return name
    return ""
