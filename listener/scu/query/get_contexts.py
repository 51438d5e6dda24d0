"""The presentation contexts of a C-GET: that to ask in, and those in which the archive stores (PS3.7 D.3.3.4)."""

from collections.abc import Iterable, Sequence

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import build_role
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext, build_context

from listener.scp.presentation_contexts import STORAGE_CLASSES, TRANSFER_SYNTAXES

STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"  # Study Root Query/Retrieve Information Model - GET
_MOST_CONTEXTS = 128  # PS3.8 section 9.3.2.2: odd identifiers of one byte
_RLE = "1.2.840.10008.1.2.5"  # the common ones stand first but for this one
_UNCOMPRESSED = [str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)]

# Where an archive does not say which classes a study has: CT, MR and their enhanced forms, CR, DX, MG, US, NM, PET, SC.
_USUAL_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.4.1",
    "1.2.840.10008.5.1.4.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.2",
    "1.2.840.10008.5.1.4.1.1.6.1",
    "1.2.840.10008.5.1.4.1.1.20",
    "1.2.840.10008.5.1.4.1.1.128",
    "1.2.840.10008.5.1.4.1.1.7",
)


def contexts_of_get(sop_class_uids: Iterable[str]) -> list[PresentationContext]:
    """One for C-GET and, for each class, one uncompressed and one for each compressed syntax while there is room.

    An archive takes one syntax of each context. So a file that is compressed there can come as it is, and one that is
    not need not be.
    """
    known = dict.fromkeys(uid for uid in sop_class_uids if uid in STORAGE_CLASSES)
    classes = list(known)[: _MOST_CONTEXTS - 1] or list(_USUAL_CLASSES)
    compressed = [uid for uid in dict.fromkeys([_RLE, *map(str, TRANSFER_SYNTAXES)]) if uid not in _UNCOMPRESSED]
    contexts = [build_context(STUDY_ROOT_GET, _UNCOMPRESSED)]
    contexts += [build_context(uid, _UNCOMPRESSED) for uid in classes]
    room = _MOST_CONTEXTS - len(contexts)
    pairs = [(uid, syntax) for syntax in compressed for uid in classes]
    return contexts + [build_context(uid, syntax) for uid, syntax in pairs[:room]]


def roles_of(contexts: Sequence[PresentationContext]) -> list[SCP_SCU_RoleSelectionNegotiation]:
    """That we take what is stored in these contexts, of a C-GET alone."""
    uids = dict.fromkeys(str(context.abstract_syntax) for context in contexts)
    return [build_role(uid, scp_role=True) for uid in uids if uid in STORAGE_CLASSES] if STUDY_ROOT_GET in uids else []
