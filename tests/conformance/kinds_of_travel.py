"""Kinds of case about how messages travel, and about settlement."""

from offline_protocol import (
    Fountain,
    ProtocolError,
    PublicKey,
    Refusal,
    Root,
    StreamReader,
    Transfer,
    Voucher,
    from_text,
    pack,
    settle,
    to_text,
    unpack,
)
from offline_protocol.collector import PartCollector
from offline_protocol.settlement import Terms
from tests.conformance.facts import settlement_facts
from tests.conformance.given import Given, Json, raw, sums


def judge_frame(given: Given) -> Json:
    kind, body = unpack(raw(given, "data"))
    assert pack(kind, body) == raw(given, "data"), "writing gives other bytes"
    return {"kind": int(kind), "body": body.hex()}


def judge_refusal(given: Given) -> Json:
    refusal = Refusal.decode(raw(given, "data"))
    return {"number": refusal.number, "code": refusal.code}


def judge_text(given: Given) -> Json:
    frame = from_text(given["text"])
    unpack(frame)
    assert to_text(frame) == given["text"], "writing gives another text"
    return {"frame": frame.hex()}


def judge_fountain(given: Given) -> Json:
    fountain = Fountain(raw(given, "frame"), characters_max=given["characters_max"])
    texts = [fountain.part(number).to_text() for number in given["numbers"]]
    return {"count": fountain.count, "texts": texts}


def judge_parts(given: Given) -> Json:
    collector = PartCollector()
    steps: list[Json] = []
    for text in given["texts"]:
        try:
            frame = collector.add(text)
        except ProtocolError as error:
            steps.append({"error": error.number})
        else:
            steps.append(None if frame is None else frame.hex())
    return {"steps": steps}


def judge_stream(given: Given) -> Json:
    reader = StreamReader()
    return {
        "messages": [
            each.hex() for chunk in given["chunks"] for each in reader.feed(bytes.fromhex(chunk))
        ]
    }


def _terms(fields: Json) -> Terms:
    return Terms(
        excluded=fields.get("excluded"),
        promised={account: int(sum_) for account, sum_ in fields["promised"].items()},
        borne_by={bytes.fromhex(parent): to for parent, to in fields["borne_by"].items()},
    )


def judge_settlement(given: Given) -> Json:
    accounts = {PublicKey(bytes.fromhex(key)): to for key, to in given["accounts"].items()}
    settlement = settle(
        [
            Root(
                Voucher.from_payload(bytes.fromhex(root["voucher"])),
                tuple(Transfer.from_payload(bytes.fromhex(each)) for each in root["transfers"]),
            )
            for root in given["roots"]
        ],
        account_of=accounts.__getitem__,
        excluded=given["excluded"],
        instant_limit=sums(given["instant_limit"]),
        collateral=sums(given["collateral"]),
        fund_cap=int(given["fund_cap"]),
        fund_caps=sums(given["fund_caps"]),
        terms={bytes.fromhex(each): _terms(fields) for each, fields in given["terms"].items()},
        now=given["now"],
    )
    return {"roots": settlement_facts(settlement)}
