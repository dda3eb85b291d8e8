"""The sandbox behaves as a card company does where it matters."""

from pathlib import Path

import pytest

from server.payments import GatewayUnavailable, PaymentStatus, SandboxGateway


async def _charge(gateway: SandboxGateway, card: str, key: str = "k") -> PaymentStatus:
    payment = await gateway.create_payment(
        amount=100, currency="EUR", card=card, idempotency_key=key
    )
    assert payment.id.startswith("sandbox_")
    return payment.status


async def test_it_remembers_by_key_across_restarts(tmp_path: Path) -> None:
    path = tmp_path / "cards.sqlite"
    assert await _charge(SandboxGateway(path), "sandbox-ok") is PaymentStatus.SUCCEEDED
    assert await _charge(SandboxGateway(path), "sandbox-ok") is PaymentStatus.SUCCEEDED
    assert await SandboxGateway(path).charged() == 1


async def test_an_unreachable_card_charges_nothing(tmp_path: Path) -> None:
    gateway = SandboxGateway(tmp_path / "cards.sqlite")
    with pytest.raises(GatewayUnavailable):
        await _charge(gateway, "sandbox-unreachable")
    assert await gateway.find_payment("k") is None


async def test_a_lost_answer_has_charged(tmp_path: Path) -> None:
    gateway = SandboxGateway(tmp_path / "cards.sqlite")
    with pytest.raises(GatewayUnavailable):
        await _charge(gateway, "sandbox-lost-answer")
    found = await gateway.find_payment("k")
    assert found is not None
    assert found.status is PaymentStatus.SUCCEEDED
    assert await _charge(gateway, "sandbox-lost-answer") is PaymentStatus.SUCCEEDED
    assert await gateway.charged() == 1


async def test_a_pending_payment_has_succeeded_when_it_is_looked_up(tmp_path: Path) -> None:
    gateway = SandboxGateway(tmp_path / "cards.sqlite")
    assert await _charge(gateway, "sandbox-pending") is PaymentStatus.PENDING
    found = await gateway.find_payment("k")
    assert found is not None
    assert found.status is PaymentStatus.SUCCEEDED
