"""The master key: from the environment, or from a file that is made at the first start."""

import os
from pathlib import Path

from server.kit.crypto import MASTER_KEY_BYTES, Vault
from server.settings import Settings, SettingsError


def load_vault(settings: Settings) -> Vault:
    """Return the vault of this installation.

    Raises:
        SettingsError: the key file is damaged, or missing where keys were sealed with it.
    """
    if settings.master_key:
        return Vault(settings.master_key)
    path = settings.data_dir / "master.key"
    if settings.keys_dir.exists() and not path.exists():
        raise SettingsError(
            f"{path} is missing, and the issuer's keys were sealed with a master key. "
            "Restore it from a backup, or set TALLYSTICK_MASTER_KEY."
        )
    return Vault(_key_file(path))


def _key_file(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        key = path.read_bytes()
        if len(key) != MASTER_KEY_BYTES:
            raise SettingsError(
                f"{path} is damaged: it must hold {MASTER_KEY_BYTES} bytes. "
                "Restore it from a backup; without it the sealed data cannot be read."
            ) from None
        return key
    key = os.urandom(MASTER_KEY_BYTES)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return key
