"""The key images of a result as a Key Object Selection "Of Interest" (PS3.3 section A.35.4, PS3.16 TID 2010)."""

from collections.abc import Sequence

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from inference.evidence.attributes import MANUFACTURER, algorithm_equipment, complete, series_description
from inference.evidence.context import EvidenceContext
from inference.evidence.references import reference
from inference.evidence.report_parts import device_observer
from inference.evidence.sources import stand_in
from storage.domain.result import EvidenceObject, EvidenceRole


def build_key_objects(context: EvidenceContext, indices: Sequence[int]) -> EvidenceObject:
    """The selection of the source images at these places; one that is named twice is selected once."""
    sources = [context.sources[index] for index in sorted(set(indices))]
    images = [stand_in(source) for source in sources]  # of which the evidence lists each instance once
    document = KeyObjectSelectionDocument(
        evidence=images,
        content=KeyObjectSelection(
            document_title=codes.cid7010.OfInterest,
            referenced_objects=images,
            observer_device_context=device_observer(context),
            description=f"Key images of {context.algorithm.name} {context.algorithm.version}. {context.mark}",
        ),
        series_instance_uid=context.identity.uid("key-objects-series"),
        series_number=1,
        sop_instance_uid=context.identity.uid("key-objects"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        contributing_equipment=[algorithm_equipment(context)],
    )
    selected = [item for item in document.ContentSequence if item.ValueType == "IMAGE"]
    for item, source in zip(selected, sources, strict=True):
        item.ReferencedSOPSequence = [reference(source)]
        del item.ConceptNameCodeSequence  # a purpose of reference, which row 8 of the template forbids
    return complete(document, context, EvidenceRole.KEY_OBJECTS, series_description(context, "key objects"))
