"""DICOMweb as one router."""

from fastapi import APIRouter

from listener.web.dicomweb.addresses import PREFIX
from listener.web.dicomweb.store import store_router
from listener.web.uploads import Uploads


def dicomweb_router(uploads: Uploads) -> APIRouter:
    """Every DICOMweb service under ``/dicom-web``."""
    router = APIRouter(prefix=PREFIX, tags=["DICOMweb"])
    router.include_router(store_router(uploads))
    return router
