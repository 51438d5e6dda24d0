"""Any query, Accept header and wish for a picture is understood or refused by its status."""

from contextlib import suppress

from fastapi import Request
from starlette.exceptions import HTTPException

from listener.web.dicomweb.media_types import require_json, wanted
from listener.web.dicomweb.picture_wish import (
    require_known_parameters,
    wanted_quality,
    wanted_viewport,
    wanted_window,
)
from listener.web.dicomweb.search_query import Level, read_query
from listener.web.program_login import token_sha256

SEEDS = (
    b"StudyDate=20200101-20201231&PatientID=A*&limit=5&offset=1&fuzzymatching=true\napplication/dicom+json",
    b"0020000D=1.2.3,1.2.4&includefield=all,00081030,PatientName\n*/*;q=0.5, image/png",
    b'window=40,400,linear&viewport=1,2,3,4,5,6&quality=90\nmultipart/related; type="image/jpeg"; transfer-syntax=*',
    b'SeriesNumber=-1&InstanceNumber=+2&ModalitiesInStudy=CT\\MR\n",",;q=x',
)


def check(data: bytes) -> None:
    """What stands before the first line end is the query, the rest is the Accept header."""
    query, _, accept = data.partition(b"\n")
    request = Request(
        {"type": "http", "query_string": query, "headers": [(b"accept", accept)], "path": "/", "method": "GET"}
    )
    for read in (require_known_parameters, wanted_window, wanted_viewport, wanted_quality, wanted, require_json):
        with suppress(HTTPException):
            read(request)
    for level in Level:
        with suppress(HTTPException):
            found = read_query(request, level)
            assert found.limit is None or found.limit >= 0
    assert len(token_sha256(accept.decode("latin-1"))) == 64
