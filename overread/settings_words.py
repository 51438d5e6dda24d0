"""A mistake in the settings in an administrator's words: where it is, and what would be allowed there."""

from collections.abc import Sequence

# Every pattern that a setting has; a test holds the keys equal to those of the settings.
PATTERNS_IN_WORDS: dict[str, str] = {
    r"^[ -\[\]-~]*[!-\[\]-~][ -\[\]-~]*$": (
        "1 to 16 characters of printable ASCII are allowed, not all of them spaces, and no backslash"
    ),
    r"^(https://[a-z0-9.-]+|http://(localhost|127\.0\.0\.1))(:[0-9]{1,5})?$": (
        "an origin is https://, a host name in small letters and perhaps a port, without a path; http:// goes with "
        "localhost and 127.0.0.1 only"
    ),
    r"^(https?://[^\s{}<>\"'\\]+\{study_instance_uid\}[^\s{}<>\"'\\]*)?$": (
        "an http:// or https:// address with {study_instance_uid} in it once is allowed, and no other braces, spaces, "
        "quotes or backslashes"
    ),
    r"^[0-9.]{1,64}$": "a UID has 1 to 64 characters, digits and dots",
    r"^[a-z0-9][a-z0-9-]*$": "small letters, digits and hyphens are allowed, and no hyphen in front",
    r"^([!-\[\]-~]([ -\[\]-~]*[!-\[\]-~])?)?$": (
        "at most 16 characters of printable ASCII are allowed, no backslash, and no space at either end, because one "
        "is added behind it"
    ),
    r"^(auto|cpu|openvino|(cuda|tensorrt)(:[0-9]{1,2})?|remote)$": (
        "auto, cpu, openvino, cuda, tensorrt and remote are allowed, and cuda:1 or tensorrt:1 for the second GPU"
    ),
    r"^(https?://[^\s/@?#]+(/[^\s@]*)?)?$": (
        "an http:// or https:// address is allowed, without a name or password in it; a token goes into a file that "
        "remote_token_file names"
    ),
    r"^(https?://[^\s/@?#]+(/[^\s@?#]*)?)?$": (
        "an http:// or https:// address is allowed, without a name or password and without a query in it"
    ),
    r"^([A-Za-z][A-Za-z0-9+.-]*:\S+)?$": "a URI is allowed, such as urn:oid:1.2.3 or https://hospital.example/patients",
    r"^[^:\x00-\x1f\x7f]*$": "a name without colons and control characters is allowed",
    r"^([A-Za-z0-9._-]|\{name\}|\{version\})+$": (
        "letters, digits, dots, underscores and hyphens are allowed, and {name} and {version}"
    ),
    r"^[A-Za-z0-9._-]{0,32}$": "at most 32 letters, digits, dots, underscores and hyphens are allowed",
}


def place_in_words(location: Sequence[str | int]) -> str:
    """A key, innermost first, its entries counted from 1: ("profiles", 0, "report", 1) is "entry 2 of report in …"."""
    told: list[str] = []
    names: list[str] = []
    for part in location:
        if isinstance(part, int):
            told.append(f"entry {part + 1} of {'.'.join(names)}")
            names = []
        else:
            names.append(part)
    if names:
        told.append(".".join(names))
    return " in ".join(reversed(told))
