"""The style sheet, the script and the icon."""

from fastapi import APIRouter, Depends, Response

from listener.web.access import open_to_all
from listener.web.pages.rendering import assets
from storage.errors import UnknownRecord

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


def assets_router() -> APIRouter:
    """``/static``: only files that are part of the release, from memory."""
    router = APIRouter(include_in_schema=False, dependencies=[Depends(open_to_all)])

    @router.get("/static/{name}")
    async def asset(name: str) -> Response:
        """One asset; its address changes with its content, so browsers may keep it."""
        content = assets().get(name)
        if content is None:
            raise UnknownRecord("There is no such file.")
        kept = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(content, media_type=_TYPES[name.rpartition(".")[2]], headers=kept)

    return router
