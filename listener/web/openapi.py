"""The description of what programs may ask for, as an OpenAPI document; no page that loads anything from elsewhere."""

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse

from listener.web.access import open_to_all

ADDRESS = "/api/v1/openapi.json"
_DESCRIPTION = (
    "Store, search and retrieve images with DICOMweb, or have files analysed without a PACS. Results are for research; "
    "no physician has verified them. Each request carries a token of an account, or its name and password (HTTP Basic)."
)


def openapi_router() -> APIRouter:
    """``GET /api/v1/openapi.json``; it describes this release and nobody's data, so that no login is needed."""
    router = APIRouter(include_in_schema=False, dependencies=[Depends(open_to_all)])

    @router.get(ADDRESS)
    def document(request: Request) -> JSONResponse:
        """The document of this release."""
        return JSONResponse(openapi_document(request.app))

    return router


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """The document; it leaves out the pages, which are for browsers."""
    document = get_openapi(title="Overread", version=version("overread"), description=_DESCRIPTION, routes=app.routes)
    document.setdefault("components", {})["securitySchemes"] = {
        "account": {"type": "http", "scheme": "basic"},
        "token": {"type": "http", "scheme": "bearer"},
    }
    document["security"] = [{"account": []}, {"token": []}]
    _leave_out_what_is_never_answered(document)
    return document


def _leave_out_what_is_never_answered(document: dict[str, Any]) -> None:
    """FastAPI describes its own form of 422 for each route with parameters; routes that answer 422 describe ours."""
    for operations in document["paths"].values():
        for operation in operations.values():
            if "HTTPValidationError" in str(operation["responses"].get("422", "")):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
