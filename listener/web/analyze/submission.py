"""The files of one request: read from the form as they come, wrapped where they are pictures, stored as one study."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException

from listener.scp.status import OUT_OF_RESOURCES
from listener.web.analyze.image_wrapping import Wrapping, is_picture
from listener.web.intake import InstanceTooLarge, Intake, Taken
from listener.web.multipart_reader import MultipartReader, Part, content_type_of
from listener.web.pictures.pool import DecoderPool, DecodersBusy, TooManyPixels, UndecodablePixels

FILE_LIMIT = 5000
PICTURE_BYTES = 64 * 2**20
_FIELD_BYTES = 64
_PREFIX_END = 132
# By field: what it may hold, in letters and in words.
_CODE = (re.compile(r"[A-Z0-9_ ]{1,16}", re.ASCII), "no code of up to 16 letters, digits, spaces and underscores")
_AGE = (re.compile(r"\d{1,3}[DWMY]?", re.ASCII), "no age such as 54, or 054Y, 006M, 002W or 010D")
_FIELDS = {"modality": _CODE, "body_part": _CODE, "patient_age": _AGE}
_RETRY = {"Retry-After": "30"}
_UNDECODABLE = "A file is no PNG or JPEG that can be decoded; repair it, or send it as DICOM."
_TOO_MANY_PIXELS = "A picture has more pixels than are taken; send a smaller one, or send it as DICOM."


@dataclass
class Submission:
    """What has been taken so far; all of it is one study."""

    intake: Intake
    decoders: DecoderPool
    fields: dict[str, str] = field(default_factory=dict)
    wrapping: Wrapping | None = None
    files: int = 0

    @property
    def study_instance_uid(self) -> str:
        """The study, once an instance of it is stored."""
        return next((taken.study_instance_uid for taken in self.intake.taken if taken.stored), "")

    @property
    def sop_instance_uids(self) -> list[str]:
        """The instances that are stored."""
        return [taken.sop_instance_uid for taken in self.intake.taken if taken.stored]

    async def take(self, reader: MultipartReader) -> None:
        """Take every part of the form.

        Raises:
            HTTPException: a field or file is refused; what came before it is stored.
            MalformedMultipart: the body breaks the format.
            InstanceTooLarge: a file is too large.
        """
        async for part in reader.parts():
            name = content_type_of(part.headers.get("content-disposition", "")).parameters.get("name", "")
            if name in _FIELDS:
                await self._take_field(name, part)
            elif name == "files":
                await self._take_file(part)
            else:
                raise HTTPException(422, f"The form has a field other than files, {', '.join(_FIELDS)}; leave it out.")
        if not self.files:
            raise HTTPException(422, "The form holds no file; add at least one field named files.")

    async def _take_field(self, name: str, part: Part) -> None:
        value = bytearray()
        async for chunk in part.chunks:
            value += chunk
            if len(value) > _FIELD_BYTES:
                break
        text = value.decode("latin-1").strip().upper()
        pattern, otherwise = _FIELDS[name]
        if text and not pattern.fullmatch(text):
            raise HTTPException(422, f"{name} is {otherwise}.")
        if self.files:
            raise HTTPException(422, f"{name} came after a file; put it before the files.")
        self.fields[name] = text

    async def _take_file(self, part: Part) -> None:
        self.files += 1
        if self.files > FILE_LIMIT:
            raise HTTPException(413, f"The form holds more than {FILE_LIMIT} files; send fewer at a time.")
        head, rest = await _head_of(part.chunks)
        picture = is_picture(head)
        if not picture and head[128:_PREFIX_END] != b"DICM":
            raise HTTPException(415, "A file is neither DICOM, PNG nor JPEG; send one of these.")
        if self.files > 1 and picture != (self.wrapping is not None):
            raise HTTPException(422, "Pictures and DICOM files are mixed; send them in two requests.")
        content = self._wrapped(await _whole(rest)) if picture else rest
        taken = await self.intake.take(content, self.study_instance_uid)
        if not taken.stored:
            raise _refusal(self.files, taken)

    async def _wrapped(self, content: bytes) -> AsyncIterator[bytes]:
        if self.wrapping is None:
            if not self.fields.get("modality"):
                raise HTTPException(
                    422, "A picture does not say what made it; add the field modality before the files."
                )
            self.wrapping = Wrapping(
                self.decoders.picture,
                self.fields["modality"],
                self.fields.get("body_part", ""),
                _age_string(self.fields.get("patient_age", "")),
            )
        try:
            for piece in await run_sync(self.wrapping.wrap, content, self.files):
                yield piece
        except UndecodablePixels:
            raise HTTPException(422, _UNDECODABLE) from None
        except TooManyPixels:
            raise HTTPException(413, _TOO_MANY_PIXELS) from None
        except DecodersBusy as error:
            raise HTTPException(503, str(error), _RETRY) from None


def _age_string(told: str) -> str:
    """As an Age String (PS3.5 section 6.2): three digits and a unit, years where none is told; empty for none."""
    if not told:
        return ""
    unit = told[-1] if told[-1].isalpha() else "Y"
    return f"{int(told.rstrip(unit)):03d}{unit}"


def _refusal(number: int, taken: Taken) -> HTTPException:
    sentence = f"File {number} was refused with 0x{taken.status.code:04X}. {taken.status.comment}."
    if taken.status is OUT_OF_RESOURCES:
        return HTTPException(503, sentence, _RETRY)
    return HTTPException(409, f"{sentence} The files before it are stored; all must be of one study.")


async def _head_of(chunks: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
    """The first bytes of a file, and the whole file."""
    head = bytearray()
    while len(head) < _PREFIX_END and (chunk := await anext(chunks, b"")):
        head += chunk

    async def whole() -> AsyncIterator[bytes]:
        yield bytes(head)
        async for later in chunks:
            yield later

    return bytes(head), whole()


async def _whole(chunks: AsyncIterator[bytes]) -> bytes:
    content = bytearray()
    async for chunk in chunks:
        content += chunk
        if len(content) > PICTURE_BYTES:
            raise InstanceTooLarge(f"A picture has more than {PICTURE_BYTES} bytes; send a smaller one.")
    return bytes(content)
