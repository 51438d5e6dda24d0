"""``/ohif``: the viewer's files, and our DICOMweb for whoever is logged in to the dashboard."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from listener.web.access import Permission, Principal, require
from listener.web.dicomweb.addresses import VIEWER_DICOMWEB, VIEWER_PREFIX
from listener.web.dicomweb.library import Library
from listener.web.dicomweb.rendered import rendered_router
from listener.web.dicomweb.retrieve import retrieve_router
from listener.web.dicomweb.search import search_router
from listener.web.pictures.pool import DecoderPool
from listener.web.viewer.package import APP_CONFIG, ViewerPackage
from storage.errors import UnknownRecord
from storage.ports.audit import AuditTrail
from storage.ports.studies import StudyIndex

_KEPT = "private, max-age=31536000, immutable"
_SCRIPT = "text/javascript; charset=utf-8"

ViewsImages = Annotated[Principal, Depends(require(Permission.VIEW_IMAGES))]


def viewer_router(
    package: ViewerPackage | None, index: StudyIndex, trail: AuditTrail, decoders: DecoderPool
) -> APIRouter:
    """The viewer with what it reads; without a package every address says that there is none."""
    router = APIRouter(include_in_schema=False)
    library = Library(index, trail)
    # A program that reads DICOMweb brings a token or a password; the viewer has the session of its reader, who may
    # only read here.
    for part in (search_router(index, trail), retrieve_router(library), rendered_router(library, decoders)):
        router.include_router(part, prefix=VIEWER_DICOMWEB)

    @router.get(VIEWER_PREFIX + "/{name:path}")
    def file(name: str, viewer: ViewsImages) -> Response:
        """A file of the viewer; its page for every address that it makes up itself."""
        if package is None:
            raise UnknownRecord("There is no viewer here; an administrator can add one with [web] viewer_folder.")
        if name == "app-config.js":
            return Response(APP_CONFIG, media_type=_SCRIPT)
        found = package.file(name)
        if found is not None:
            # The names of its parts change with their content.
            return Response(found[0], media_type=found[1], headers={"Cache-Control": _KEPT})
        if "." in name.rpartition("/")[2]:
            raise UnknownRecord("The viewer has no such file.")
        return Response(package.page, media_type="text/html; charset=utf-8")

    return router
