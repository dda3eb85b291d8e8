"""`tallystick proof`: evidence of double spending, checked without any server."""

import json
from dataclasses import dataclass
from pathlib import Path

import click

from client_sdk.api.encoding import to_bytes
from client_sdk.terminal.layout import keep_layout
from client_sdk.terminal.output import print_json
from offline_protocol import frames
from offline_protocol.certificates import KeySet, verify_key_set
from offline_protocol.cose import check_signature, unseal
from offline_protocol.errors import ProtocolError
from offline_protocol.frames import FrameKind
from offline_protocol.fraud import (
    CloneAlarm,
    Evidence,
    FraudProof,
    build_clone_alarm,
    build_fraud_proof,
    verify_clone_alarm,
    verify_fraud_proof,
)
from offline_protocol.keys import PublicKey
from offline_protocol.transfers import Transfer


@dataclass(frozen=True)
class Issuer:
    """A key set to check against, and the id of the root key that signed it, if that was given."""

    key_set: KeySet
    root_key_id: str | None


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--key-set",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The issuer's key set, as GET /v1/offline/key-set answers it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@keep_layout
def verify(*, file: Path, key_set: Path | None, as_json: bool) -> None:
    """Check a fraud proof on its own. The exit code is 0 when it convicts, 1 when not.

    FILE holds the proof as bytes, as text (TALLY1:... or base64url), or as the server's JSON
    answer. The proof shows that one key signed the same value away twice (or, for a clone alarm,
    used one number twice). With --key-set it is also checked that the issuer knows that key.

    Examples:
      tallystick proof verify proof.json --key-set key-set.json
      tallystick proof verify proof.txt --json
    """
    try:
        evidence = _read_evidence(file.read_bytes())
        issuer = None if key_set is None else _read_issuer(key_set.read_bytes())
        _check(evidence, issuer)
    except ProtocolError as error:
        if as_json:
            detail = {"code": error.code, "number": error.number, "detail": error.message}
            print_json({"convicts": False, "error": detail})
        else:
            click.echo(f"This convicts nobody: {error.message}. [{error.number} {error.code}]")
        click.get_current_context().exit(1)
    document = _describe(evidence, issuer)
    if as_json:
        print_json(document)
    else:
        _print(evidence, document)


def _check(evidence: Evidence, issuer: Issuer | None) -> None:
    if issuer is not None:
        if isinstance(evidence, FraudProof):
            verify_fraud_proof(evidence, issuer.key_set)
        elif isinstance(evidence, CloneAlarm):
            verify_clone_alarm(evidence, issuer.key_set)
        return
    build = build_fraud_proof if isinstance(evidence, FraudProof) else build_clone_alarm
    build(
        evidence.first, evidence.second, certificate=evidence.certificate, voucher=evidence.voucher
    )
    for transfer in (evidence.first, evidence.second):
        check_signature(transfer, evidence.key)


def _describe(evidence: Evidence, issuer: Issuer | None) -> dict[str, object]:
    certificate = evidence.certificate
    return {
        "convicts": True,
        "kind": evidence.NAME,
        "key_id": evidence.key.id.hex(),
        "display_name": certificate.body.display_name if certificate else None,
        "issuer_checked": issuer is not None and issuer.root_key_id is not None,
        "root_key_id": issuer.root_key_id if issuer else None,
        "transfers": [_transfer(one.body) for one in (evidence.first, evidence.second)],
    }


def _transfer(transfer: Transfer) -> dict[str, object]:
    return {
        "id": transfer.id.hex(),
        "parent": transfer.parent.hex(),
        "lo": transfer.lo,
        "hi": transfer.hi,
        "payee_key_id": transfer.payee.id.hex(),
        "sequence": transfer.sequence,
        "time": transfer.time,
        "kind": transfer.kind.name.lower(),
    }


def _print(evidence: Evidence, document: dict[str, object]) -> None:
    name = f" ({document['display_name']})" if document["display_name"] else ""
    crime = (
        "signed the same value away twice"
        if isinstance(evidence, FraudProof)
        else "used one sequence number for two transfers"
    )
    click.secho(f"Key {evidence.key.id.hex()}{name} {crime}.", bold=True)
    for one in (evidence.first, evidence.second):
        body = one.body
        click.echo(
            f"  transfer {body.id.hex()}\n"
            f"    units [{body.lo}, {body.hi}) of {body.parent.hex()}\n"
            f"    to key {body.payee.id.hex()}, number {body.sequence}, time {body.time}"
        )
    click.echo("Both signatures are good; an honest device never makes two such.")
    if not document["issuer_checked"]:
        click.echo(
            "Whose key it is was not checked: give --key-set, as the issuer's server answers it."
        )
    else:
        click.echo(f"The issuer's root key: {document['root_key_id']}")


def _read_evidence(data: bytes) -> Evidence:
    frame_like = _frame_or_body(data)
    try:
        kind, body = frames.unpack(frame_like)
    except ProtocolError:
        return FraudProof.decode(frame_like)
    if kind is FrameKind.CLONE_ALARM:
        return CloneAlarm.decode(body)
    return FraudProof.decode(body)


def _frame_or_body(data: bytes) -> bytes:
    """The bytes meant by a file of bytes, text, or the server's JSON."""
    try:
        text = data.decode("ascii").strip()
    except UnicodeDecodeError:
        return data
    try:
        if text.startswith("{"):
            text = str(json.loads(text).get("proof", ""))
        return frames.from_text(text) if text.startswith("TALLY1:") else to_bytes(text)
    except (ValueError, RecursionError) as error:  # the latter: objects in objects in objects
        raise ProtocolError(f"the file holds no proof: {error}") from None


def _read_issuer(data: bytes) -> Issuer:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return Issuer(unseal(KeySet, data).body, None)
    try:
        signed = unseal(KeySet, to_bytes(document["key_set"]))
        root_key = PublicKey(to_bytes(document["root_key"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"the file holds no key set: {error}") from None
    return Issuer(verify_key_set(signed, root_key), root_key.id.hex())
