"""The keys of a destination that is reached over the web."""

from typing import Annotated

from pydantic import BaseModel, Field

# No name or password, no query: what is secret stands in files of its own.
ServiceUrl = Annotated[str, Field(pattern=r"^(https?://[^\s/@?#]+(/[^\s@?#]*)?)?$", max_length=1024)]


class WebKeys(BaseModel):
    """Where a destination of kind stow is."""

    url: ServiceUrl = Field(
        default="",
        description=(
            'kind = "stow": the address of its DICOMweb services, below which it has `/studies`, such as '
            '"https://pacs.hospital.example/dicom-web".'
        ),
    )
