"""The texts of a manifest: they go into DICOM elements, whose values a backslash parts (PS3.5 section 6.1.3, 6.2)."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

_PLAIN = r"^[^\\\u0000-\u001f\u007f-\u009f\u2028\u2029]*$"
_PROSE = r"^[^\\\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u2028\u2029]*$"


def _plain(text: str) -> str:
    if not re.fullmatch(_PLAIN[1:-1], text):
        raise ValueError("a text has no backslash, line break or other control character; write it without")
    return text


def _prose(text: str) -> str:
    if not re.fullmatch(_PROSE[1:-1], text):
        raise ValueError("a text has no backslash and no control character but line breaks and tabs; write it without")
    return text


# One line of text, of whatever length its field allows. The pattern is for readers of the published schema: they have
# the rule, whoever meets it here has a sentence.
Line = Annotated[str, Field(min_length=1, json_schema_extra={"pattern": _PLAIN}), AfterValidator(_plain)]
Prose = Annotated[str, Field(min_length=1, json_schema_extra={"pattern": _PROSE}), AfterValidator(_prose)]
Text = Annotated[Line, Field(max_length=64)]
