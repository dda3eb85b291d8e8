"""`tallystick check-liabilities`: one's own money in what the operator published."""

from pathlib import Path

import click

from client_sdk.liabilities import Included, ProofBroken, check_proof, read_root
from client_sdk.terminal.layout import keep_layout
from client_sdk.terminal.output import print_json

_SIZE_MAX = 1 << 20
"""Bytes of a file that are read; a proof is a few kilobytes."""


@click.command("check-liabilities")
@click.argument("proof", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--root",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The published root of the same round, as everybody gets it.",
)
@click.option("--key", help="The key that signs roots, in hexadecimal digits, as you know it.")
@click.option("--user", help="Your own id; the leaf must be yours.")
@click.option("--balance", type=int, help="What you had at the end of that day, in minor units.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@keep_layout
def check_liabilities(
    *,
    proof: Path,
    root: Path,
    key: str | None,
    user: str | None,
    balance: int | None,
    as_json: bool,
) -> None:
    """Check that your money is part of what the operator says that it owes.

    PROOF is the answer of GET /v1/liabilities/proof. The root comes from GET /v1/liabilities, best
    by another way: from a newspaper, a friend, an auditor. The exit code is 0 when the proof is
    good, 1 when not.

    Examples:
      tallystick check-liabilities proof.json --root root.json
      tallystick check-liabilities proof.json --root root.json --balance 2500 --key 3b6a...
    """
    try:
        published = read_root(_read(root))
        included = check_proof(_read(proof), published)
        _compare(included, key=key, user=user, balance=balance)
    except ProofBroken as error:
        if as_json:
            print_json({"good": False, "reason": str(error)})
        else:
            click.echo(f"NOT GOOD: {error}")
        raise SystemExit(1) from None
    if as_json:
        print_json(
            {
                "good": True,
                "user": str(included.user),
                "currency": included.currency,
                "balance": included.balance,
                "total": str(included.total),
                "leaves": included.leaves,
                "key": included.public_key.hex(),
            }
        )
        return
    click.echo(f"Good: {included.balance} minor units of {included.currency} of {included.user}")
    click.echo(f"are part of the {included.total} that the operator owes {included.leaves} people.")
    if key is None:
        click.echo(f"Signed by {included.public_key.hex()}: compare it with what you know.")


def _compare(included: Included, *, key: str | None, user: str | None, balance: int | None) -> None:
    if key is not None and key.lower() != included.public_key.hex():
        raise ProofBroken("The root is signed by another key.")
    if user is not None and user.lower() != str(included.user):
        raise ProofBroken(f"The leaf belongs to somebody else: {included.user}.")
    if balance is not None and balance != included.balance:
        raise ProofBroken(f"The leaf says {included.balance} and not {balance}.")


def _read(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(_SIZE_MAX + 1)
    if len(content) > _SIZE_MAX:
        raise ProofBroken(f"{path} is too large for a proof.")
    return content.decode("utf-8", "replace")
