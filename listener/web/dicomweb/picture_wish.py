"""What a request for a rendered picture asks for in its address (PS3.18 section 8.3.5)."""

import math

from fastapi import Request
from starlette.exceptions import HTTPException

from listener.web.pictures.frame_description import Viewport, Window

_KNOWN = ("window", "viewport", "quality")
_FUNCTIONS = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}
_WIDEST = 8192
_DEFAULT_QUALITY = 90


def require_known_parameters(request: Request) -> None:
    """Refuse what would be ignored: the picture would not be the one that was asked for.

    Raises:
        HTTPException: 400.
    """
    if set(request.query_params) - set(_KNOWN):
        raise HTTPException(400, f"The address has a parameter other than {', '.join(_KNOWN)}; leave it out.")


def wanted_window(request: Request) -> Window | None:
    """``window=center,width,function``.

    Raises:
        HTTPException: 400.
    """
    told = request.query_params.get("window")
    if told is None:
        return None
    center, width, function = _parts(told, "window", 3)
    if function.lower() not in _FUNCTIONS:
        raise HTTPException(400, f"The function of the window is none of {', '.join(_FUNCTIONS)}.")
    window = Window(_number(center, "window"), _number(width, "window"), _FUNCTIONS[function.lower()])
    if window.width <= 0:
        raise HTTPException(400, "The width of the window is not above zero.")
    return window


def wanted_viewport(request: Request) -> Viewport | None:
    """``viewport=width,height`` or with the rectangle of the image, ``,left,top,width,height``.

    Raises:
        HTTPException: 400.
    """
    told = request.query_params.get("viewport")
    if told is None:
        return None
    parts = told.split(",")
    if len(parts) not in (2, 6):
        raise HTTPException(400, "viewport has two numbers, or six; correct it.")
    numbers = [int(_number(part or "0", "viewport")) for part in parts]
    if not all(0 < number <= _WIDEST for number in numbers[:2]) or min(numbers) < 0:
        raise HTTPException(400, f"viewport is not within 1 to {_WIDEST} pixels, or turns the image over.")
    return Viewport(*numbers)


def wanted_quality(request: Request) -> int:
    """``quality=1`` to ``100``, of a JPEG.

    Raises:
        HTTPException: 400.
    """
    told = request.query_params.get("quality")
    if told is None:
        return _DEFAULT_QUALITY
    if not (told.isascii() and told.isdigit() and 1 <= len(told) <= 3 and 1 <= int(told) <= 100):
        raise HTTPException(400, "quality is no number from 1 to 100.")
    return int(told)


def _parts(told: str, name: str, count: int) -> list[str]:
    parts = told.split(",")
    if len(parts) != count:
        raise HTTPException(400, f"{name} has not {count} parts; correct it.")
    return parts


def _number(text: str, name: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not abs(number) < 1e9:
        raise HTTPException(400, f"{name} holds something that is no number; correct it.")
    return number
