"""Which side of the patient lies where on an image (PS3.3 section C.7.6.1.1.1)."""

from pydicom import Dataset

_TOWARDS = (("L", "R"), ("P", "A"), ("H", "F"))  # along the positive and the negative patient axes
_OPPOSITE = str.maketrans("LRAPHF", "RLPAFH")
_NOTICEABLE = 0.3  # of a unit vector: a direction is named when the image leans that much towards it


def patient_orientation(header: Dataset) -> tuple[str, str] | None:
    """Where rows and columns run to, such as ``("L", "P")``; ``None`` when the image does not say."""
    try:
        cosines = [float(value) for value in header.get("ImageOrientationPatient") or ()]
    except (TypeError, ValueError):
        cosines = []
    if len(cosines) == 6:
        along_row, along_column = _letters(cosines[:3]), _letters(cosines[3:])
        return (along_row, along_column) if along_row and along_column else None
    stated = [str(value) for value in header.get("PatientOrientation") or ()]
    if len(stated) == 2 and all(one and set(one) <= set("LRAPHF") for one in stated):
        return stated[0], stated[1]
    return None


def opposite(letters: str) -> str:
    """The other way."""
    return letters.translate(_OPPOSITE)


def _letters(direction: list[float]) -> str:
    named = sorted(zip(direction, _TOWARDS, strict=True), key=lambda one: -abs(one[0]))
    return "".join(names[0] if value > 0 else names[1] for value, names in named if abs(value) >= _NOTICEABLE)
