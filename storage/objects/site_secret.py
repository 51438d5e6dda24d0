"""The secret of this installation, from which result UIDs are derived so that nobody can guess them."""

import os
import secrets

from storage.errors import DamagedObject
from storage.objects.durable import remove, sync_folder, write_new
from storage.objects.layout import DataFolder, new_entry_id

_LENGTH = 32


def site_secret(folder: DataFolder) -> bytes:
    """The 32 random bytes of this data folder, made at the first call; processes that race agree on one.

    Raises:
        DamagedObject: the file does not hold 32 bytes.
        OSError: it cannot be read or written.
    """
    path = folder.root / "site-secret"
    if not path.exists():
        draft = folder.root / f"site-secret.{new_entry_id()}.part"
        write_new(draft, secrets.token_bytes(_LENGTH))
        try:
            os.link(draft, path)  # exclusive: the first one wins, the others read it
        except FileExistsError:
            pass
        finally:
            remove(draft)
        sync_folder(folder.root)
    secret = path.read_bytes()
    if len(secret) != _LENGTH:
        raise DamagedObject(f"The file {path.name} in the data folder is damaged; restore it from a backup.")
    return secret
