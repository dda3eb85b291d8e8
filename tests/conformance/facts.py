"""What conformance cases call facts: results as plain JSON, the same in every language."""

from enum import IntEnum
from typing import Any

from offline_protocol import AcceptanceRule, KeyUse, PublicKey, Settlement, Signed, cbor
from offline_protocol.cose import open_envelope

Json = Any

_USES = {KeyUse.ISSUE: 1, KeyUse.SETTLE: 2}


def value_facts(value: cbor.Value) -> Json:
    """A CBOR value; byte strings and maps are marked, since JSON has no such thing."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, dict):
        return {"map": [[key, value_facts(inner)] for key, inner in value.items()]}
    if isinstance(value, list):
        return [value_facts(inner) for inner in value]
    return value


def _plain(value: Any) -> Json:
    if isinstance(value, (PublicKey, bytes)):
        return (value if isinstance(value, bytes) else value.raw).hex()
    if isinstance(value, KeyUse):
        return _USES[value]
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, (int, str)):
        return int(value) if isinstance(value, IntEnum) else value
    return body_facts(value)


def body_facts(body: Any) -> dict[str, Json]:
    """The fields of an object by the names of the specification; what is absent is left out."""
    fields = {name: value for name, value in vars(body).items() if name in _fields_of(body)}
    if "scales" in fields:
        scales = [{"currency": code, "places": places} for code, places in fields.pop("scales")]
        fields |= {"scales": scales} if scales else {}
    plain = {
        name: value if name == "scales" else _plain(value)
        for name, value in fields.items()
        if not _is_absent(name, value)
    }
    return plain | ({"type": body.TYPE} if hasattr(body, "TYPE") else {})


def _fields_of(body: Any) -> frozenset[str]:
    return frozenset(type(body).__dataclass_fields__)


def _is_absent(name: str, value: Any) -> bool:
    left_out = (name == "kind" and value == 0) or (name == "transports" and value == ())
    return value is None or left_out


def object_facts(signed: Signed[Any]) -> dict[str, Json]:
    """An object that was read: what it says, and how it is named."""
    return {
        "id": signed.id.hex(),
        "algorithm": int(open_envelope(signed.envelope).algorithm),
        "fields": body_facts(signed.body),
    }


def _sums(amounts: Any) -> dict[str, str]:
    return {account: str(amount) for account, amount in amounts.items()}


def settlement_facts(settlement: Settlement) -> list[Json]:
    """Sums of amounts are decimal text, since several may exceed what JSON numbers keep."""
    return [
        {
            "voucher_id": root.voucher_id.hex(),
            "value": root.value,
            "closed": root.closed,
            "credits": {
                account: {"amount": str(credit.amount), "guaranteed": str(credit.guaranteed)}
                for account, credit in root.credits.items()
            },
            "backing": str(root.sources.backing),
            "collateral": _sums(root.sources.collateral),
            "fund": _sums(root.sources.fund),
            "issuer": str(root.sources.issuer),
            "debts": _sums(root.debts),
            "forks": [
                {
                    "key": fork.key.raw.hex(),
                    "account": fork.account,
                    "parent": fork.parent.hex(),
                    "lo": fork.lo,
                    "hi": fork.hi,
                    "transfer_ids": [each.hex() for each in fork.transfer_ids],
                }
                for fork in root.forks
            ],
        }
        for root in settlement.roots
    ]


def places_of(rules: tuple[AcceptanceRule, ...], among: tuple[AcceptanceRule, ...]) -> list[int]:
    """Which rules of a list these are, by place."""
    return [next(at for at, rule in enumerate(among) if rule is each) for each in rules]
