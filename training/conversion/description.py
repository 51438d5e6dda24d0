"""What a manifest says that no framework writes down: who made it, what a label is in a terminology, a card."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from training.errors import NotExpressible

_ANATOMY = {"value": "91723000", "scheme": "SCT", "meaning": "Anatomical Structure"}
_ABNORMAL = {"value": "49755003", "scheme": "SCT", "meaning": "Morphologically Altered Structure"}
# Labels as data sets write them, and their codes (PS3.16, CID 7153 and others).
_CODES: dict[str, tuple[dict[str, str], str, str]] = {
    "brain": (_ANATOMY, "12738006", "Brain"),
    "kidney": (_ANATOMY, "64033007", "Kidney"),
    "liver": (_ANATOMY, "10200004", "Liver"),
    "lung": (_ANATOMY, "39607008", "Lung"),
    "pancreas": (_ANATOMY, "15776009", "Pancreas"),
    "prostate": (_ANATOMY, "41216001", "Prostate"),
    "spleen": (_ANATOMY, "78961009", "Spleen"),
    "tumor": (_ABNORMAL, "108369006", "Neoplasm"),
    "tumour": (_ABNORMAL, "108369006", "Neoplasm"),
}
_OWN_SCHEME = "99OVERREAD"
_COLOURS = ((221, 130, 101), (144, 238, 144), (111, 184, 210), (241, 214, 145), (188, 95, 76), (200, 160, 220))
_MODALITIES = {"ct": "CT", "mr": "MR", "mri": "MR", "t1": "MR", "t2": "MR", "flair": "MR", "pet": "PT", "pt": "PT"}
NOT_STATED = "not stated"


@dataclass(frozen=True, slots=True)
class Told:
    """What the person who imports says; what is empty is taken from the framework's files."""

    name: str = ""
    version: str = ""
    manufacturer: str = ""
    licence: str = ""
    intended_use: str = ""
    modality: str = ""

    def or_else(self, **found: object) -> "Told":
        """With what was found in the place of what is empty."""
        return replace(self, **{key: _line(value) for key, value in found.items() if value and not getattr(self, key)})

    def identity(self) -> dict[str, str]:
        """The manifest's section."""
        return {
            "name": re.sub(r"[^a-z0-9._-]+", "-", self.name.lower()).strip("-._")[:64] or "imported",
            "version": re.sub(r"[^A-Za-z0-9._+-]+", "-", self.version).strip("-._+")[:32] or "1",
            "manufacturer": (self.manufacturer or NOT_STATED)[:64],
            "licence": (self.licence or NOT_STATED)[:64],
            "intended_use": (self.intended_use or "Research. Its makers state no intended use.")[:2000],
            "use": "research",
        }

    def input(self) -> dict[str, Any]:
        """The manifest's section. Raises NotExpressible."""
        modality = _MODALITIES.get(self.modality.lower(), self.modality if len(self.modality) == 2 else "")
        if not modality:
            raise NotExpressible(
                f"Which modality the network takes does not follow from {self.modality or 'its files'!r}; "
                "say --modality."
            )
        return {"modalities": [modality]}


def _line(value: object) -> str:
    return " ".join(re.sub(r"[\\\x00-\x1f\x7f]", " ", str(value)).split())


def segments(labels: Sequence[tuple[int, str]]) -> list[dict[str, Any]]:
    """The manifest's segments of (channel, label); a label that is in no table has a code of ours, to be replaced."""
    made = []
    for number, (channel, label) in enumerate(labels, 1):
        words = _line(label)[:64] or f"Label {number}"
        category, value, meaning = _CODES.get(
            words.lower(), (_ANATOMY, re.sub(r"[^A-Z0-9]", "", words.upper())[:12] + str(number), words)
        )
        scheme = "SCT" if words.lower() in _CODES else _OWN_SCHEME
        made.append(
            {
                "number": number,
                "channel": channel,
                "label": words[:1].upper() + words[1:],
                "category": category,
                "type": {"value": value, "scheme": scheme, "meaning": meaning},
                "rgb": list(_COLOURS[(number - 1) % len(_COLOURS)]),
            }
        )
    return made


def card(title: str, origin: str, licence: str, notes: Sequence[str]) -> str:
    """A card that says what is known and what is not."""
    told = "\n".join(f"- {note}" for note in notes)
    return (
        f"# {title}\n\nImported from {origin}. Licence: {licence}.\n\n"
        "**Research only; nobody has tried it on your images.** Write here what it was trained and tested on, what it "
        "cannot do, and with which numbers.\n\n"
        f"## What the import could not take over\n\n{told or '- nothing'}\n"
    )
