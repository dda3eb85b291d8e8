"""Chains and payments: who owns what after which hops, their bytes, and their sizes."""

from itertools import pairwise
from pathlib import Path

import pytest

from offline_protocol import cbor
from offline_protocol.chains import Chain, Payment
from offline_protocol.constants import CHAIN_LINKS_MAX
from offline_protocol.cose import unseal
from offline_protocol.errors import MalformedObject, ProtocolError
from offline_protocol.vouchers import Voucher
from tests.factories.protocol import Device, Issuer

SPECIFICATION = Path(__file__).resolve().parents[3] / "docs" / "protocol.md"


def _walked(hops: int) -> tuple[Issuer, list[Device], Chain]:
    """A chain of so many hops of 1250 out of 20000 between devices of one issuer."""
    issuer = Issuer()
    devices = [issuer.device(number) for number in range(hops + 1)]
    chain = issuer.chain(devices[0])
    for giver, taker in pairwise(devices):
        chain = giver.pay(chain, taker.request(1_250)).chains[0]
    return issuer, devices, chain


def test_an_unspent_voucher_is_its_holders() -> None:
    _, devices, chain = _walked(0)
    assert chain.owner == devices[0].key
    assert (chain.lo, chain.hi, chain.amount, chain.hops_used) == (0, 20_000, 20_000, 0)
    assert (chain.tip, chain.tip_id) == (None, chain.voucher.id)
    assert chain.links == ()


def test_the_tip_of_a_chain_says_who_owns_which_part() -> None:
    _, devices, chain = _walked(2)
    assert chain.owner == devices[2].key
    assert (chain.lo, chain.hi, chain.amount, chain.hops_used) == (0, 1_250, 1_250, 2)
    assert chain.tip_id == chain.hops[-1].transfer.id
    assert [link.signer for link in chain.links] == [devices[0].key, devices[1].key]


def test_after_a_return_the_payer_owns_the_piece_again_and_can_spend_it() -> None:
    issuer, devices, chain = _walked(2)
    returned = devices[2].give_back(chain)
    assert returned.owner == devices[1].key
    assert returned.hops_used == 2
    again = devices[1].hand_over(returned, devices[2].request(nonce="again").body)
    assert again.hops_used == 3
    assert again.links[-1].signer == devices[1].key
    assert issuer.seed == 0


@pytest.mark.parametrize("hops", [0, 1, 3])
def test_a_chain_survives_the_wire(hops: int) -> None:
    _, _, chain = _walked(hops)
    assert Chain.decode(chain.encode()) == chain


def test_a_payment_survives_the_wire() -> None:
    _, _, chain = _walked(2)
    payment = Payment((chain, chain))
    assert Payment.decode(payment.encode()) == payment
    assert payment.amount == 2_500
    assert payment.transfer_ids == (chain.tip_id,)


def test_a_payment_needs_a_chain_and_a_chain_of_it_a_transfer() -> None:
    _, _, voucher_only = _walked(0)
    _, _, chain = _walked(1)
    for chains in [(), (voucher_only,), (chain,) * 9]:
        with pytest.raises(MalformedObject):
            Payment(chains)


def test_other_forms_on_the_wire_are_refused() -> None:
    _, _, chain = _walked(2)
    voucher = chain.voucher.envelope
    transfer = chain.hops[1].transfer.envelope
    certificate = chain.hops[1].certificate
    assert certificate is not None
    too_many: list[cbor.Value] = [[transfer] for _ in range(CHAIN_LINKS_MAX + 1)]
    shapes: list[cbor.Value] = [
        [],
        {1: voucher},
        [[]],
        [voucher],
        [[voucher, transfer]],
        [[voucher, []]],
        [[transfer, [transfer]]],
        [[voucher, [certificate.envelope]]],
        [[voucher, [transfer, transfer]]],
        [[voucher, [transfer, certificate.envelope, certificate.envelope]]],
        [[voucher, *too_many]],
        [[voucher, [transfer]]] * 9,
    ]
    for shape in shapes:
        with pytest.raises(ProtocolError):
            Payment.decode(cbor.encode(shape))


def test_a_chain_has_a_longest_length() -> None:
    _, _, chain = _walked(1)
    assert len(Chain(chain.voucher, chain.hops * CHAIN_LINKS_MAX).hops) == CHAIN_LINKS_MAX
    with pytest.raises(MalformedObject):
        Chain(chain.voucher, chain.hops * (CHAIN_LINKS_MAX + 1))


def test_the_specification_gives_the_measured_sizes() -> None:
    text = SPECIFICATION.read_text(encoding="utf-8")
    for hops in (1, 2, 3, 4):
        _, devices, chain = _walked(hops)
        assert f"| payment, {hops} hop" in text
        row = next(row for row in text.splitlines() if row.startswith(f"| payment, {hops} hop"))
        assert row.split("|")[2].strip() == str(len(Payment((chain,)).encode()))
    issuer, devices, chain = _walked(1)
    sizes = {
        "key set, 2 keys": len(issuer.key_set.envelope),
        "device certificate": len(devices[0].certificate.envelope),
        "voucher": len(chain.voucher.envelope),
        "payment request": len(devices[0].request(1_250).envelope),
        "transfer": len(chain.hops[0].transfer.envelope),
    }
    for name, size in sizes.items():
        assert f"| {name} | {size} |" in text, (name, size)


def test_paying_from_one_voucher_again_and_again_costs_the_same_bytes() -> None:
    issuer = Issuer()
    alice, bob = issuer.device("alice"), issuer.device("bob")
    chain = issuer.chain(alice)
    sizes = {
        len(alice.pay(chain, bob.request(1_250, nonce=at), lo=at).encode())
        for at in range(1_250, 18_750, 1_250)
    }
    assert len(sizes) == 1


def test_reading_a_voucher_of_a_chain_alone_gives_the_same_object() -> None:
    _, _, chain = _walked(1)
    assert unseal(Voucher, chain.voucher.envelope) == chain.voucher
