"""Who runs this command, as audit rows name them."""

import os
import re

from overread.data_folder import name_of

_NAME = re.compile(r"[A-Za-z0-9._@\\-]{1,64}")


def caller() -> str:
    """The account of this process and, behind sudo, the person: ``overread (sudo anna)``.

    The account is the system's word; the person is sudo's, which whoever has a shell of that account could forge.
    """
    account, person = name_of(os.geteuid()), os.environ.get("SUDO_USER", "")
    return f"{account} (sudo {person})" if _NAME.fullmatch(person) and person != account else account
