"""Lets schemathesis reach what is behind the first check: real UIDs in paths, and bodies with a boundary.

schemathesis loads this by the variable SCHEMATHESIS_HOOKS; KNOWN_PATHS holds the paths of instances that are stored.
"""

import ast
import json
import os
import threading
from random import Random
from typing import Any

import schemathesis
from schemathesis.transport.requests import REQUESTS_TRANSPORT

_KNOWN: list[dict[str, str]] = json.loads(os.environ.get("KNOWN_PATHS", "[]"))
_BOUNDARY = "generated"
_random = Random(1)


_parse, _one_at_a_time = ast.parse, threading.Lock()


def _parse_alone(*source: Any, **how: Any) -> Any:
    """Hypothesis parses from each worker, and in CPython 3.11 two trees made at once count one recursion depth."""
    with _one_at_a_time:
        return _parse(*source, **how)


ast.parse = _parse_alone


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Most often the UIDs of an instance that is there."""
    if path_parameters and _KNOWN and _random.random() < 0.8:
        known = _random.choice(_KNOWN)
        return {name: known.get(name, value) for name, value in path_parameters.items()}
    return path_parameters


@REQUESTS_TRANSPORT.serializer("multipart/related")
def related(context: Any, value: Any) -> dict[str, Any]:
    """One part per line of what was generated."""
    content = value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
    parts = b"".join(
        b"--%s\r\nContent-Type: application/dicom\r\n\r\n%s\r\n" % (_BOUNDARY.encode(), line)
        for line in content.split(b"\n")
    )
    return {
        "data": parts + b"--%s--\r\n" % _BOUNDARY.encode(),
        "headers": {"Content-Type": f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'},
    }


@schemathesis.hook
def map_query(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """An answer that may be waited for is not waited for longer than schemathesis itself waits."""
    if query and isinstance(query.get("wait"), int) and query["wait"] > 2:
        return {**query, "wait": 2}
    return query
