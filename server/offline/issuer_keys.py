"""The issuer's keys: made once, sealed at rest, loaded to serve.

Each key is a file that the vault sealed: ``root`` signs the key sets that devices trust and is not
needed to serve; ``issue`` signs vouchers, certificates and revocation lists; ``settle`` is the
payee of claims; ``checkpoint`` signs the heads of the ledger's chain. After a rotation
(`ceremony.py`) there are several issuing and settling keys, each named after its kid. The key set
and the root's public key are public and lie beside them.
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
KEY_SET_FILE = "key-set.cose"
ROOT_KEY_FILE = "root.pub"
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
    issue_signers: tuple[SoftwareSigner, ...]
    checkpoint_signer: SoftwareSigner

    def issuer_at(self, moment: int) -> SoftwareSigner:
        """Return the newest issuing key that serves at this moment (Unix seconds).

        Raises:
            IssuerKeysMissing: the last one has ended, or the first has not begun.
        """
        signers = {signer.public_key: signer for signer in self.issue_signers}
        serving = [
            listed
            for listed in self.key_set.body.keys
            if listed.serves(KeyUse.ISSUE, moment) and listed.key in signers
        ]
        if not serving:
            raise IssuerKeysMissing(
                f"No issuing key serves on {_date(moment)}. Rotate the keys: `tallystick keys "
                "propose`."
            )
        return signers[max(serving, key=lambda listed: listed.not_before).key]

    def still_issues(self, kid: bytes, moment: int) -> bool:
        """Whether the key of this name is an issuing key that serves at a moment."""
        return any(
            listed.kid == kid and listed.serves(KeyUse.ISSUE, moment)
            for listed in self.key_set.body.keys
        )

    def settle_key_at(self, moment: int) -> PublicKey:
        """Return the newest key that claims can be made out to."""
        listed = [k for k in self.key_set.body.keys if k.serves(KeyUse.SETTLE, moment)]
        if not listed:
            raise IssuerKeysMissing("No settling key serves. Rotate the keys.")
        return max(listed, key=lambda key: key.not_before).key


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
    _write(partial / KEY_SET_FILE, key_set.envelope)
    _write(partial / ROOT_KEY_FILE, root_key.raw)
    partial.rename(directory)
    return IssuerKeys(key_set, root_key, (signers["issue"],), signers["checkpoint"])


def load_issuer_keys(directory: Path, vault: Vault, clock: Clock) -> IssuerKeys:
    """Return the keys of this installation.

    Raises:
        IssuerKeysMissing: a file is missing, does not open, does not belong to the others, or the
            issuing key has ended.
    """
    try:
        root_key = PublicKey((directory / ROOT_KEY_FILE).read_bytes())
        key_set = unseal(KeySet, (directory / KEY_SET_FILE).read_bytes())
        verify_key_set(key_set, root_key)
        issuing = open_secrets(directory, vault, KeyUse.ISSUE)
        settling = open_secrets(directory, vault, KeyUse.SETTLE)
        checkpoint = SoftwareSigner(
            vault.open((directory / "checkpoint.key").read_bytes(), _context("checkpoint"))
        )
        keys = IssuerKeys(key_set, root_key, tuple(issuing), checkpoint)
        now = int(clock.now().timestamp())
        keys.issuer_at(now)
        secrets = {signer.public_key for signer in settling}
        if keys.settle_key_at(now) not in secrets:
            raise IssuerKeysMissing("The secret of the settling key is not here.")
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
    return keys


def open_secrets(directory: Path, vault: Vault, use: KeyUse) -> list[SoftwareSigner]:
    """Return every key of one use whose secret lies here, in the order of their files.

    Raises:
        FileNotFoundError: there is none.
        SealBroken: another master key sealed one.
    """
    paths = sorted(directory.glob(f"{use}.key")) + sorted(directory.glob(f"{use}.*.key"))
    if not paths:
        raise FileNotFoundError(2, "missing", str(directory / f"{use}.key"))
    return [SoftwareSigner(vault.open(path.read_bytes(), _context(use))) for path in paths]


def seal_secret(directory: Path, vault: Vault, use: KeyUse, seed: bytes, *, nonce: bytes) -> None:
    """Keep a new key beside the others, named after its kid."""
    kid = SoftwareSigner(seed).public_key.kid.hex()
    _write(directory / f"{use}.{kid}.key", vault.seal(seed, _context(use), nonce=nonce))


def describe_issuer_keys(keys: IssuerKeys) -> dict[str, object]:
    """Return the public part, ready to be printed."""
    body = keys.key_set.body
    return {
        "issuer": body.issuer,
        "key_set_version": body.version,
        "key_set_id": body.id.hex(),
        "root_key_id": keys.root_key.id.hex(),
        "root_key": to_base64url(keys.root_key.raw),
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
