"""An earlier result on fewer images, marked as no longer to be used: a Rejection Note as a Key Object Selection.

The document is that of PS3.16 TID 2010 with a title of CID 7010; what an archive makes of it is IHE's profile Imaging
Object Change Management (RAD-66): the objects that it names are no longer shown in regular use.
"""

import hashlib

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom import DataElement, Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from inference.evidence.attributes import MANUFACTURER, algorithm_equipment, complete, series_description
from inference.evidence.context import EvidenceContext
from inference.evidence.report_parts import device_observer
from inference.evidence.sources import stand_in
from storage.domain.earlier_result import SentObject
from storage.domain.result import EvidenceObject, EvidenceRole

_SOP_CLASS_UID, _SOP_INSTANCE_UID, _SERIES_INSTANCE_UID = 0x00080016, 0x00080018, 0x0020000E
_WHY = "Superseded: the study has changed since, and a newer result of {} {} takes the place of these objects. {}"


def build_rejection_note(context: EvidenceContext) -> tuple[EvidenceObject, ...]:
    """The note on the result that this one follows; nothing where it follows none, or where none of it arrived."""
    sent = context.predecessor.sent if context.predecessor is not None else ()
    if not sent:
        return ()
    rejected = [_rejected(one, context) for one in sent]
    named = hashlib.sha256("\n".join(sorted(one.sop_instance_uid for one in sent)).encode()).hexdigest()
    algorithm = context.algorithm
    document = KeyObjectSelectionDocument(
        evidence=rejected,
        content=KeyObjectSelection(
            document_title=codes.cid7010.RejectedForQualityReasons,
            referenced_objects=rejected,
            observer_device_context=device_observer(context),
            description=_WHY.format(algorithm.name, algorithm.version, context.mark),
        ),
        series_instance_uid=context.identity.uid("rejection-note-series"),
        series_number=1,
        sop_instance_uid=context.identity.uid(f"rejection-note {named}"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        contributing_equipment=[algorithm_equipment(context)],
    )
    for item in document.ContentSequence:
        if item.ValueType == "COMPOSITE":
            del item.ConceptNameCodeSequence  # a purpose of reference, which row 10 of the template forbids
    note = complete(document, context, EvidenceRole.REJECTION_NOTE, series_description(context, "rejection note"))
    return (note,)


def _rejected(one: SentObject, context: EvidenceContext) -> Dataset:
    """As much of the object as highdicom needs to refer to it."""
    ds = stand_in(context.sources[0])
    for keyword in ("Rows", "Columns"):  # what has these is taken for an image
        ds.pop(keyword, None)
    # New elements: those of the stand-in belong to the source too.
    ds[_SOP_CLASS_UID] = DataElement(_SOP_CLASS_UID, "UI", one.sop_class_uid)
    ds[_SOP_INSTANCE_UID] = DataElement(_SOP_INSTANCE_UID, "UI", one.sop_instance_uid)
    ds[_SERIES_INSTANCE_UID] = DataElement(_SERIES_INSTANCE_UID, "UI", one.series_instance_uid)
    return ds
