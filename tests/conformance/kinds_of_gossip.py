"""Kinds of case about the evidence that two devices exchange."""

from offline_protocol.gossip import News, read_spends, read_tags, write_spends, write_tags
from tests.conformance.given import Given, Json, key_set, raw


def judge_news(given: Given) -> Json:
    news = News.decode(raw(given, "data"))
    assert news.encode() == raw(given, "data"), "writing gives other bytes"
    facts = {
        "epoch": news.epoch,
        "key_set_version": news.key_set_version,
        "policy_version": news.policy_version,
        "budget": news.budget,
    }
    return facts | ({"proofs": b"".join(news.proofs).hex()} if news.proofs else {})


def judge_tags(given: Given) -> Json:
    tags = read_tags(raw(given, "data"), most=given["most"])
    assert write_tags(tags) == raw(given, "data"), "writing gives other bytes"
    return {"tags": [{"prefix": tag.prefix.hex(), "lo": tag.lo, "hi": tag.hi} for tag in tags]}


def judge_spends(given: Given) -> Json:
    spends = read_spends(raw(given, "data"))
    assert write_spends(spends) == raw(given, "data"), "writing gives other bytes"
    proof = None
    if len(spends) > 1:
        proof = spends[0].proves_against(spends[1], key_set(given))
    return {
        "spends": [
            {"transfer_id": each.transfer.id.hex(), "signer": each.signer.raw.hex()}
            for each in spends
        ],
        "proof": None if proof is None else proof.encode().hex(),
    }
