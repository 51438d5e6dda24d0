"""What the values of images after the Modality LUT mean, and in which unit, as far as the images say so."""

from collections.abc import Sequence

from pydicom import Dataset

from inference.imaging.pixel_format import is_colour
from storage.domain.coded_concept import CodedConcept

Quantity = tuple[CodedConcept, CodedConcept]

ATTENUATION = CodedConcept("112031", "DCM", "Attenuation Coefficient")
HOUNSFIELD = CodedConcept("[hnsf'U]", "UCUM", "Hounsfield unit")
# An annotation means the same as "1" in UCUM. Of a value of 0, OHIF 3.13.2 shows the unit alone: "1" read as a number.
NO_UNITS = CodedConcept("{unitless}", "UCUM", "no units")
_MR_SIGNAL = CodedConcept("110852", "DCM", "MR signal intensity")
_UPTAKE = CodedConcept("126400", "DCM", "Standardized Uptake Value")
_ACTIVITY = CodedConcept("110821", "DCM", "Nuclear Medicine Tomographic Activity")

# Rescale Type (0028,1054) of CT; without one the values are Hounsfield units (PS3.3 section C.8.2.1). Other types,
# such as those of multi-energy CT, are other quantities, and nothing is said of them.
_CT_UNITS = {"": HOUNSFIELD, "HU": HOUNSFIELD, "US": NO_UNITS, "HU_MOD": NO_UNITS}

# SUV Type (0054,1006) where Units are GML or CM2ML; without one GML is by body weight (PS3.3 section C.8.9.1).
_SUV_UNITS = {
    ("GML", ""): CodedConcept("g/ml{SUVbw}", "UCUM", "Standardized Uptake Value body weight"),
    ("GML", "BW"): CodedConcept("g/ml{SUVbw}", "UCUM", "Standardized Uptake Value body weight"),
    ("GML", "LBM"): CodedConcept("g/ml{SUVlbm}", "UCUM", "Standardized Uptake Value lean body mass (James)"),
    ("GML", "LBMJAMES128"): CodedConcept(
        "g/ml{SUVlbm(James128)}", "UCUM", "Standardized Uptake Value lean body mass (James 128 multiplier)"
    ),
    ("GML", "LBMJANMA"): CodedConcept(
        "g/ml{SUVlbm(Janma)}", "UCUM", "Standardized Uptake Value lean body mass (Janma)"
    ),
    ("GML", "IBW"): CodedConcept("g/ml{SUVibw}", "UCUM", "Standardized Uptake Value ideal body weight"),
    ("CM2ML", "BSA"): CodedConcept("cm2/ml{SUVbsa}", "UCUM", "Standardized Uptake Value body surface area"),
}
# Units (0054,1001) of PET that are no uptake value, and their codes of CID 84.
_PET_UNITS = {
    "BQML": CodedConcept("Bq/ml", "UCUM", "Becquerels/milliliter"),
    "CNTS": CodedConcept("{counts}", "UCUM", "Counts"),
    "CPS": CodedConcept("{counts}/s", "UCUM", "Counts per second"),
    "PROPCNTS": CodedConcept("{propcounts}", "UCUM", "Proportional to counts"),
    "PROPCPS": CodedConcept("{propcounts}/s", "UCUM", "Proportional to counts per second"),
    "PCNT": CodedConcept("%", "UCUM", "Percent"),
    "NONE": NO_UNITS,
}


def quantity_of(headers: Sequence[Dataset]) -> Quantity | None:
    """Name and UCUM unit of the values of these images; ``None`` where they do not say it, or not of one accord."""
    found = {_quantity(header) for header in headers}
    return found.pop() if len(found) == 1 else None


def _quantity(header: Dataset) -> Quantity | None:
    if is_colour(header):
        return None  # luminance is how something is shown, whatever the modality measured
    modality = _text(header, "Modality")
    if modality == "MR":
        return _MR_SIGNAL, NO_UNITS
    if modality == "CT":
        unit = _CT_UNITS.get(_text(header, "RescaleType"))
        return None if unit is None else (ATTENUATION, unit)
    if modality == "PT":
        units = _text(header, "Units")
        uptake = _SUV_UNITS.get((units, _text(header, "SUVType")))
        if uptake is not None:
            return _UPTAKE, uptake
        return (_ACTIVITY, _PET_UNITS[units]) if units in _PET_UNITS else None
    return None


def _text(header: Dataset, keyword: str) -> str:
    return str(header.get(keyword) or "").strip().upper()
