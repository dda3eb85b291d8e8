"""The issuer's keys: made once, sealed at rest, loaded to serve.

Four keys, each a file that the vault sealed: ``root`` signs the key set that devices pin and is not
needed to serve; ``issue`` signs vouchers and certificates; ``settle`` is the payee of claims;
``checkpoint`` signs the heads of the ledger's chain. The key set and the root's public key are
public and lie beside them.
"""

import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from offline_protocol.certificates import IssuerKey, KeySet, KeyUse, verify_key_set
from offline_protocol.cose import Signed, seal, unseal
from offline_protocol.errors import ProtocolError
from offline_protocol.keys import PublicKey, SoftwareSigner
from server.kit.clock import Clock
from server.kit.crypto import SealBroken, Vault
from server.kit.ids import Ids
from server.kit.money import ASSETS
from server.kit.schema import to_base64url
from server.offline.errors import IssuerKeysExist, IssuerKeysMissing

_SECRETS = ("root", "issue", "settle", "checkpoint")
_KEY_SET_FILE = "key-set.cose"
_ROOT_KEY_FILE = "root.pub"
_SEED_BYTES = 32
_NONCE_BYTES = 24
_ISSUE_LIFE = timedelta(days=2 * 365)
# Claims may come until the last voucher's claim-by, long after the issuing key has ended.
_SETTLE_LIFE = timedelta(days=10 * 365)


@dataclass(frozen=True)
class IssuerKeys:
    """What serving needs. Printing it shows no secret."""

    key_set: Signed[KeySet]
    root_key: PublicKey
    issue_signer: SoftwareSigner
    settle_key: PublicKey
    checkpoint_signer: SoftwareSigner

    @property
    def issue_kid(self) -> bytes:
        return self.issue_signer.public_key.kid


def make_issuer_keys(
    directory: Path, vault: Vault, *, issuer: str, clock: Clock, ids: Ids
) -> IssuerKeys:
    """Make the keys of a new installation: all of them, or none when it fails half-way.

    Raises:
        IssuerKeysExist: the folder holds something already.
        ProtocolError: the issuer's name does not fit into a key set.
    """
    if directory.exists() and any(directory.iterdir()):
        raise IssuerKeysExist(
            f"{directory} is not empty. New keys would strand every voucher that the old ones "
            "signed; move the folder away if that is what you want."
        )
    seeds = {name: ids.token(_SEED_BYTES) for name in _SECRETS}
    signers = {name: SoftwareSigner(seed) for name, seed in seeds.items()}
    key_set = seal(
        _key_set(issuer, clock.now(), signers["issue"].public_key, signers["settle"].public_key),
        signers["root"],
    )
    root_key = signers["root"].public_key
    directory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    for name, seed in seeds.items():
        sealed = vault.seal(seed, _context(name), nonce=ids.token(_NONCE_BYTES))
        _write(partial / f"{name}.key", sealed)
    _write(partial / _KEY_SET_FILE, key_set.envelope)
    _write(partial / _ROOT_KEY_FILE, root_key.encode())
    partial.rename(directory)
    return IssuerKeys(
        key_set,
        root_key,
        signers["issue"],
        signers["settle"].public_key,
        signers["checkpoint"],
    )


def load_issuer_keys(directory: Path, vault: Vault, clock: Clock) -> IssuerKeys:
    """Return the keys of this installation.

    Raises:
        IssuerKeysMissing: a file is missing, does not open, does not belong to the others, or the
            issuing key has ended.
    """
    try:
        root_key = PublicKey.decode((directory / _ROOT_KEY_FILE).read_bytes())
        key_set = unseal(KeySet, (directory / _KEY_SET_FILE).read_bytes())
        verify_key_set(key_set, root_key)
        issue, settle, checkpoint = (
            SoftwareSigner(vault.open((directory / f"{name}.key").read_bytes(), _context(name)))
            for name in ("issue", "settle", "checkpoint")
        )
        now = int(clock.now().timestamp())
        if key_set.body.key(issue.public_key.kid, now, KeyUse.ISSUE) != issue.public_key:
            raise IssuerKeysMissing("issue.key is not the issuing key of the key set.")
        if not key_set.body.settles(settle.public_key, now):
            raise IssuerKeysMissing("settle.key is not a settling key of the key set.")
    except FileNotFoundError as error:
        way_out = (
            "Restore it from a backup." if directory.exists() else "Run `tallystick keys init`."
        )
        raise IssuerKeysMissing(f"There is no {error.filename}. {way_out}") from error
    except SealBroken as error:
        raise IssuerKeysMissing(
            f"The keys in {directory} were sealed with another master key. Restore that one."
        ) from error
    except ProtocolError as error:
        raise IssuerKeysMissing(
            f"The keys in {directory} cannot be used: {error.message}."
        ) from error
    return IssuerKeys(key_set, root_key, issue, settle.public_key, checkpoint)


def describe_issuer_keys(keys: IssuerKeys) -> dict[str, object]:
    """Return the public part, ready to be printed."""
    body = keys.key_set.body
    return {
        "issuer": body.issuer,
        "key_set_version": body.version,
        "key_set_id": body.id.hex(),
        "root_key_id": keys.root_key.id.hex(),
        "root_key": to_base64url(keys.root_key.encode()),
        "checkpoint_key_id": keys.checkpoint_signer.public_key.id.hex(),
        "keys": [
            f"{key.use} {key.kid.hex()} from {_date(key.not_before)} to {_date(key.not_after)}"
            for key in body.keys
        ],
    }


def _key_set(issuer: str, now: datetime, issue: PublicKey, settle: PublicKey) -> KeySet:
    def entry(key: PublicKey, use: KeyUse, life: timedelta) -> IssuerKey:
        return IssuerKey(key.kid, key, start, int((now + life).timestamp()), use)

    # What they sign is dated a little back, for devices whose clock is slow.
    start = int((now - timedelta(days=1)).timestamp())
    return KeySet(
        version=1,
        issuer=issuer,
        keys=(entry(issue, KeyUse.ISSUE, _ISSUE_LIFE), entry(settle, KeyUse.SETTLE, _SETTLE_LIFE)),
        epoch_floor=0,
        time=int(now.timestamp()),
        scales=tuple(sorted((code, asset.scale) for code, asset in ASSETS.items())),
    )


def _context(name: str) -> str:
    return f"issuer_key/{name}"


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _date(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).date().isoformat()
