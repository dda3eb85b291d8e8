"""The command line over Bluetooth LE: payer and payee in processes of their own.

A third process holds two virtual controllers, which the two reach by TCP as they would reach real
ones by USB or a serial line.
"""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.client_sdk.devices import Device, issuer_of_today, make_device

START_SECONDS = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def listens(port: int) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return


@pytest.fixture
def controllers() -> Iterator[tuple[str, str]]:
    """Names of two virtual controllers on one link."""
    ports = free_port(), free_port()
    names = [f"tcp-server:127.0.0.1:{port}" for port in ports]
    process = subprocess.Popen(
        [sys.executable, "-m", "bumble.apps.controllers", *names],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for port in ports:
            asyncio.run(listens(port))
        yield f"tcp-client:127.0.0.1:{ports[0]}", f"tcp-client:127.0.0.1:{ports[1]}"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.fixture
def till_and_phone(tmp_path: Path) -> tuple[Device, Device]:
    issuer = issuer_of_today()
    return make_device(issuer, tmp_path, "till"), make_device(issuer, tmp_path, "phone", 2000)


def first_line(waiting: "subprocess.Popen[str]") -> dict[str, Any]:
    assert waiting.stdout is not None
    line: dict[str, Any] = json.loads(waiting.stdout.readline())
    return line


def last_line(waiting: "subprocess.Popen[str]") -> dict[str, Any]:
    out, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, err
    line: dict[str, Any] = json.loads(out.splitlines()[-1])
    return line


def test_two_processes_pay_over_bluetooth(
    controllers: tuple[str, str], till_and_phone: tuple[Device, Device]
) -> None:
    till, phone = till_and_phone
    waiting = till.start("request", "12.50", "EUR", "--ble", controllers[0], "--json")
    shown = first_line(waiting)
    assert shown["advertised"].startswith("ble:")
    paid = phone.run("pay", shown["text"], "--yes", "--ble", controllers[1])
    assert paid["exchange"]["words"] == "paid, confirmed by the payee"
    assert paid["exchange"]["peer_name"] == "till"
    assert last_line(waiting)["exchange"]["state"] == "receipted"
    assert phone.run("balance")["offline"][0]["spendable"] == 750
    assert till.run("balance")["offline"][0]["spendable"] == 1250


def test_a_payee_that_was_killed_is_found_again_under_the_same_request(
    controllers: tuple[str, str], till_and_phone: tuple[Device, Device]
) -> None:
    till, phone = till_and_phone
    waiting = till.start("request", "12.50", "EUR", "--ble", controllers[0], "--json")
    shown = first_line(waiting)
    waiting.kill()
    waiting.communicate()
    again = till.start(
        "request", "--again", shown["exchange"]["id"], "--ble", controllers[0], "--json"
    )
    assert first_line(again)["advertised"] == shown["advertised"]
    paid = phone.run("pay", shown["text"], "--yes", "--ble", controllers[1])
    assert paid["exchange"]["state"] == "acked"
    assert last_line(again)["exchange"]["state"] == "receipted"


def test_without_bluetooth_the_payer_is_told_and_shows_a_code(
    controllers: tuple[str, str], till_and_phone: tuple[Device, Device]
) -> None:
    till, phone = till_and_phone
    waiting = till.start("request", "12.50", "EUR", "--ble", controllers[0], "--json")
    shown = first_line(waiting)
    done = subprocess.run(
        phone.command("pay", shown["text"], "--yes", "--ble", "tcp-client:127.0.0.1:1", "--json"),
        env=phone.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "cannot be used" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["text"].startswith("TALLY1:")
    waiting.kill()
    waiting.communicate()


def test_a_payee_without_a_controller_is_told(till_and_phone: tuple[Device, Device]) -> None:
    till, _ = till_and_phone
    for name, words in (("tcp-client:127.0.0.1:1", "cannot be used"), ("system", "can pay")):
        refused = till.run("request", "1.00", "EUR", "--ble", name, code=1)
        assert refused["error"]["code"] == "no_bluetooth_adapter"
        assert words in refused["error"]["detail"]
