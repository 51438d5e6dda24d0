"""The data folder: made by the account that runs Overread, and touched by no other."""

import os
import pwd
from pathlib import Path

from overread.errors import InvalidSettings
from overread.settings import Settings


def make_data_folder(settings: Settings) -> None:
    """Make ``data_dir`` itself; what is inside stays closed to other accounts, but the database's may pass through.

    Raises:
        InvalidSettings: it cannot be made, or belongs to another account.
    """
    refuse_foreign_folder(settings)
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        settings.data_dir.chmod(0o711)
    except OSError as error:
        raise InvalidSettings(
            f"The data folder {settings.data_dir} cannot be made ({error.strerror}); set data_dir, or the variable "
            "OVERREAD_DATA_DIR, to a folder that this account may write."
        ) from None


def refuse_foreign_folder(settings: Settings) -> None:
    """Stop before anything is made in another account's folder: what we make there, that account could not open.

    A mounted volume may belong to root and be written by its group; so where the database is elsewhere, only root,
    whom no permission stops, is asked whose folder it is.

    Raises:
        InvalidSettings: the folder belongs to another account, which is named.
    """
    account = os.geteuid()
    try:
        owner = settings.data_dir.stat().st_uid
    except PermissionError:
        raise InvalidSettings(
            f"The account {name_of(account)} may not look into {settings.data_dir}; run the command as the account "
            "that runs Overread."
        ) from None
    except OSError:
        return  # it is not there
    if owner == account or (settings.database.url and account != 0):
        return
    raise InvalidSettings(
        f"The data folder {settings.data_dir} belongs to the account {name_of(owner)}, and this is {name_of(account)}; "
        f"{_remedy(settings.data_dir, owner, account)}."
    )


def name_of(account: int) -> str:
    """The name of an account, or its number where it has none, as in a container."""
    try:
        return pwd.getpwuid(account).pw_name
    except KeyError:
        return f"#{account}"  # what sudo takes for a number


def _remedy(folder: Path, owner: int, account: int) -> str:
    remedy = f"run the command as that account (`sudo -u {name_of(owner)} overread …`)"
    if account == 0:
        return remedy
    return f"{remedy} or, if this account is to run Overread, give it the folder (`chown -R`)"
