"""Key ceremony: how new issuer keys come into use while the root key stays on another machine.

1. `propose`, on the server: makes the new keys and writes a request, the key set to be signed.
2. `sign`, where the root key is: shows what the set says, and signs it.
3. `accept`, on the server: checks the signature and puts the set in the place of the old one.

The new issuing key begins some days later, so that devices hear of it before they meet it, and the
old one stays listed as long as anything that it signed can be claimed.
"""

import base64
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from nacl import exceptions, pwhash, secret

from offline_protocol.certificate_log import LogHead
from offline_protocol.certificates import IssuerKey, KeySet, KeyUse, verify_key_set
from offline_protocol.constants import ISSUER_KEYS_MAX
from offline_protocol.cose import Signed, seal, unseal
from offline_protocol.errors import ProtocolError
from offline_protocol.keys import PublicKey, SoftwareSigner
from server.kit.crypto import SealBroken, Vault
from server.kit.ids import Ids
from server.offline.errors import CeremonyRefused
from server.offline.issuer_keys import KEY_SET_FILE, ROOT_KEY_FILE, IssuerKeys, seal_secret

_SEED_BYTES = 32
_NONCE_BYTES = 24
_ROOT_FILE = "root.key"
_DOCUMENT = "tallystick root key"
_OPERATIONS = 4
_MEMORY_BYTES = 256 << 20
_MEMORY_MOST = 1 << 30
_OPERATIONS_MOST = 64


def propose(
    directory: Path,
    vault: Vault,
    keys: IssuerKeys,
    *,
    ids: Ids,
    uses: Sequence[KeyUse],
    now: int,
    begins: int,
    life_s: int,
    ends: Sequence[bytes] = (),
    log: LogHead | None = None,
    epoch_floor: int | None = None,
) -> KeySet:
    """Make new keys and return the set that lists them, to be signed by the root.

    Args:
        directory: the folder of the keys; the new secrets are sealed into it.
        vault: seals them.
        keys: the keys in use.
        ids: where seeds come from.
        uses: one new key for each of these.
        now: Unix seconds.
        begins: when the new keys begin to serve.
        life_s: how long they serve.
        ends: kids of keys that end now: they were stolen. Beside this they have to be revoked.
        log: the head of the log of certificates.
        epoch_floor: oldest revocation list of which payees are not warned; None leaves it.

    Raises:
        CeremonyRefused: a kid is not listed, the set would be too long, the floor would sink, or no
            issuing key would be left that serves from now on.
    """
    current = keys.key_set.body
    unknown = set(ends) - {key.kid for key in current.keys}
    if unknown:
        raise CeremonyRefused(f"The key set lists no key {min(unknown).hex()}.")
    listed = [
        replace(key, not_after=max(min(key.not_after, now), key.not_before))
        if key.kid in ends
        else key
        for key in current.keys
    ]
    floor = current.epoch_floor if epoch_floor is None else epoch_floor
    if floor < current.epoch_floor:
        raise CeremonyRefused(f"The oldest good list is {current.epoch_floor}; it never sinks.")
    staying = {key.kid for key in listed if key.serves(KeyUse.ISSUE, now)} - set(ends)
    if not staying and not (KeyUse.ISSUE in uses and begins <= now):
        raise CeremonyRefused(
            "No issuing key would serve now. Make one that begins at once: --begins-in 0."
        )
    for use in uses:
        seed = ids.token(_SEED_BYTES)
        public_key = SoftwareSigner(seed).public_key
        listed.append(IssuerKey(public_key.kid, public_key, begins, begins + life_s, use))
        seal_secret(directory, vault, use, seed, nonce=ids.token(_NONCE_BYTES))
    if len(listed) > ISSUER_KEYS_MAX:
        raise CeremonyRefused(f"A key set lists at most {ISSUER_KEYS_MAX} keys.")
    return replace(
        current,
        version=current.version + 1,
        epoch_floor=floor,
        keys=tuple(listed),
        time=max(now, current.time),
        previous=current.id,
        log=log if log is not None else current.log,
    )


def read_proposal(data: bytes) -> KeySet:
    """Read the key set that a request asks to sign.

    Raises:
        CeremonyRefused: it is none.
    """
    try:
        return KeySet.from_payload(data)
    except ProtocolError as error:
        raise CeremonyRefused(f"This is no key set to sign: {error.message}.") from None


def describe(key_set: KeySet) -> list[str]:
    """Return what a key set says, line by line, for the person who signs it."""
    lines = [f"{key_set.issuer}, key set {key_set.version}"]
    lines += [
        f"{key.use:6} {key.kid.hex()}  {key.key.algorithm.name}  "
        f"{_day(key.not_before)} to {_day(key.not_after)}"
        for key in key_set.keys
    ]
    lines.append(f"id {key_set.id.hex()}")
    return lines


def _day(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).date().isoformat()


def sign(proposal: KeySet, root: SoftwareSigner) -> bytes:
    """Return the envelope of the signed set."""
    return seal(proposal, root).envelope


def accept(directory: Path, keys: IssuerKeys, envelope: bytes) -> Signed[KeySet]:
    """Put a signed key set in the place of the one in use.

    Raises:
        CeremonyRefused: the root did not sign it, it does not follow the one in use, or a secret
            that it needs is not here.
    """
    try:
        signed = unseal(KeySet, envelope)
        verify_key_set(signed, keys.root_key, keys.key_set.body)
    except ProtocolError as error:
        raise CeremonyRefused(f"The key set is refused: {error.message}.") from None
    here = {path.name.split(".")[1] for path in directory.glob("*.*.key")}
    known = {key.kid for key in keys.key_set.body.keys}
    for key in signed.body.keys:
        if key.kid not in known and key.kid.hex() not in here:
            raise CeremonyRefused(f"The secret of the new key {key.kid.hex()} is not here.")
    _replace(directory / KEY_SET_FILE, envelope)
    return signed


def export_root(
    directory: Path, vault: Vault, out: Path, passphrase: str, *, ids: Ids
) -> PublicKey:
    """Move the root key out of the server's folder into a file of its own.

    The file is sealed by a passphrase (Argon2id, XSalsa20-Poly1305), written and read back before
    the server's copy is deleted.

    Raises:
        CeremonyRefused: the root key is not here any more, or the file exists.
    """
    path = directory / _ROOT_FILE
    try:
        seed = vault.open(path.read_bytes(), "issuer_key/root")
    except FileNotFoundError:
        raise CeremonyRefused("The root key is not here: it was moved away before.") from None
    except SealBroken:
        raise CeremonyRefused("The root key was sealed with another master key.") from None
    root = SoftwareSigner(seed).public_key
    salt = ids.token(pwhash.argon2id.SALTBYTES)
    box = secret.SecretBox(_stretch(passphrase, salt, _OPERATIONS, _MEMORY_BYTES))
    document = {
        "kind": _DOCUMENT,
        "public_key": _text(root.raw),
        "salt": _text(salt),
        "operations": _OPERATIONS,
        "memory_bytes": _MEMORY_BYTES,
        "sealed": _text(box.encrypt(seed, ids.token(_NONCE_BYTES))),
    }
    if out.exists():
        raise CeremonyRefused(f"{out} exists; nothing is written over it.")
    _replace(out, (json.dumps(document, indent=2) + "\n").encode())
    if open_root(out.read_bytes(), passphrase).public_key != root:
        raise CeremonyRefused("The file does not open again; the root key stays where it was.")
    path.unlink()
    return root


def open_root(data: bytes, passphrase: str) -> SoftwareSigner:
    """Open the file that `export_root` wrote.

    Raises:
        CeremonyRefused: another file, or another passphrase.
    """
    try:
        document = json.loads(data)
        if document["kind"] != _DOCUMENT:
            raise CeremonyRefused("This file holds no root key.")
        operations, memory = int(document["operations"]), int(document["memory_bytes"])
        if not (0 < operations <= _OPERATIONS_MOST and 0 < memory <= _MEMORY_MOST):
            raise CeremonyRefused("The file names impossible settings for its passphrase.")
        box = secret.SecretBox(_stretch(passphrase, _raw(document["salt"]), operations, memory))
        root = SoftwareSigner(box.decrypt(_raw(document["sealed"])))
    except exceptions.CryptoError:
        raise CeremonyRefused("The passphrase does not open this file.") from None
    except (ValueError, KeyError, TypeError):
        raise CeremonyRefused("This file holds no root key.") from None
    if root.public_key.raw != _raw(document["public_key"]):
        raise CeremonyRefused("The file holds another key than it says.")
    return root


def check_root(directory: Path, root: SoftwareSigner) -> bool:
    """Return whether this is the root key that the installation's devices trust."""
    return (directory / ROOT_KEY_FILE).read_bytes() == root.public_key.raw


def _stretch(passphrase: str, salt: bytes, operations: int, memory: int) -> bytes:
    return pwhash.argon2id.kdf(
        secret.SecretBox.KEY_SIZE,
        passphrase.encode(),
        salt,
        opslimit=operations,
        memlimit=memory,
    )


def _replace(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all."""
    descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    Path(partial).replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _raw(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
