"""DICOMweb as one router."""

from fastapi import APIRouter

from listener.web.dicomweb.addresses import PREFIX
from listener.web.dicomweb.library import Library
from listener.web.dicomweb.rendered import rendered_router
from listener.web.dicomweb.retrieve import retrieve_router
from listener.web.dicomweb.search import search_router
from listener.web.dicomweb.store import store_router
from listener.web.pictures.pool import DecoderPool
from listener.web.uploads import Uploads
from storage.ports.audit import AuditTrail
from storage.ports.studies import StudyIndex


def dicomweb_router(uploads: Uploads, index: StudyIndex, trail: AuditTrail, decoders: DecoderPool) -> APIRouter:
    """Every DICOMweb service under ``/dicom-web``."""
    router = APIRouter(prefix=PREFIX, tags=["DICOMweb"])
    router.include_router(store_router(uploads))
    router.include_router(search_router(index, trail))
    library = Library(index, trail)
    router.include_router(retrieve_router(library))
    router.include_router(rendered_router(library, decoders))
    return router
