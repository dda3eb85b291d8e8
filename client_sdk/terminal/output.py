"""What commands print: words for a person, or one JSON object per line."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from client_sdk.errors import WalletError
from client_sdk.money import format_amount
from client_sdk.views import ExchangeView
from offline_protocol import frames

Json = Mapping[str, object]


def print_json(document: Json) -> None:
    """One object on one line, at once: a reader on a pipe may be waiting for it."""
    click.echo(json.dumps(document, ensure_ascii=False))


def print_error(error: WalletError, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "error": {
                    "code": error.code,
                    "detail": error.detail,
                    "fix": error.fix,
                    "retryable": error.retryable,
                }
            }
        )
        return
    click.echo(f"Error: {harmless(error.detail)} [{harmless(error.code)}]", err=True)
    if error.fix:
        click.echo(f"What to do: {harmless(error.fix)}", err=True)


def harmless(text: str) -> str:
    """Text of a server without what would steer a terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def exchange_json(view: ExchangeView, digits: int) -> Json:
    return {
        "id": view.id.hex(),
        "request_id": view.request_id.hex(),
        "role": view.role.value,
        "state": view.state.value,
        "words": view.words,
        "amount": view.amount,
        "currency": view.currency,
        "amount_text": format_amount(view.amount, view.currency, digits=digits),
        "peer_name": view.peer_name,
        "memo": view.memo,
        "refusal": view.refusal,
        "confirmed": view.confirmed,
        "created_at": view.created_at,
        "updated_at": view.updated_at,
    }


def exchange_line(view: ExchangeView, digits: int) -> str:
    amount = format_amount(view.amount, view.currency, digits=digits)
    peer = f"  {view.peer_name}" if view.peer_name else ""
    memo = f"  ({view.memo})" if view.memo else ""
    return f"{view.id.hex()[:16]}  {view.role.value:<8}{amount:>16}  {view.words}{peer}{memo}"


def frame_json(frame: bytes, files: Sequence[Path]) -> Json:
    return {"text": frames.to_text(frame), "qr": [str(path) for path in files]}
