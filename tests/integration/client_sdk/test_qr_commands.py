"""The wallet's commands with codes of every kind: pictures, animations, and pasted parts."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from client_sdk.command import root
from client_sdk.transports import qr
from offline_protocol.frames import from_text
from tests.integration.client_sdk.devices import Device, issuer_of_today, make_device


def call(device: Device, *words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(root, ["wallet", *words], input=stdin, env=device.environment)


def ask(device: Device, *words: str, stdin: str | None = None) -> dict[str, Any]:
    done = call(device, *words, "--json", stdin=stdin)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture
def people(tmp_path: Path) -> tuple[Device, Device]:
    """A shop and a shopper with 60.00 EUR."""
    issuer = issuer_of_today()
    return make_device(issuer, tmp_path, "shop"), make_device(issuer, tmp_path, "amina", 6000)


def pictures_of(path: Path) -> int:
    with Image.open(path) as file:
        return int(getattr(file, "n_frames", 1))


def test_a_payment_by_animations(people: tuple[Device, Device], tmp_path: Path) -> None:
    shop, amina = people
    request, payment, receipt = (tmp_path / f"{name}.gif" for name in ("req", "pay", "rec"))
    moving = ("--animate", "--speed", "slow")
    asked = ask(shop, "request", "25.00", "EUR", "--qr", str(request), *moving)
    assert asked["qr"] == [str(request)]
    ask(amina, "pay", "--qr", str(request), "--qr-out", str(payment), *moving, "--yes")
    got = ask(shop, "receive", "--qr", str(payment), "--qr-out", str(receipt), *moving)
    assert (got["kind"], got["answer"]) == ("payment", "paid")
    done = ask(amina, "receive", "--qr", str(receipt))
    assert done["exchange"]["words"] == "paid, confirmed by the payee"
    assert min(map(pictures_of, (request, payment, receipt))) > 2
    with Image.open(payment) as file:
        assert file.info["duration"] == 250


def test_a_payment_by_numbered_pictures_in_any_order_and_one_lost(
    people: tuple[Device, Device], tmp_path: Path
) -> None:
    shop, amina = people
    text = ask(shop, "request", "25.00", "EUR")["text"]
    out = str(tmp_path / "pay.png")
    paid = ask(amina, "pay", text, "--yes", "--qr-out", out, "--animate")
    names = paid["qr"]
    assert len(names) > 3
    assert names[0] == str(tmp_path / "pay.1.png")
    given = [word for name in names[:0:-1] for word in ("--qr", name)]
    assert ask(shop, "receive", *given)["answer"] == "paid"


def test_too_few_pictures_are_told_with_the_number_missing(
    people: tuple[Device, Device], tmp_path: Path
) -> None:
    shop, amina = people
    text = ask(shop, "request", "25.00", "EUR")["text"]
    out = str(tmp_path / "pay.png")
    names = ask(amina, "pay", text, "--yes", "--qr-out", out, "--animate")["qr"]
    done = call(shop, "receive", "--qr", names[0], "--json")
    assert done.exit_code == 1
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "unreadable_message"
    assert error["detail"].startswith("1 of ")


def test_parts_that_a_scanner_read_are_pasted_one_a_line(people: tuple[Device, Device]) -> None:
    shop, amina = people
    text = ask(shop, "request", "25.00", "EUR")["text"]
    frame = from_text(ask(amina, "pay", text, "--yes")["text"])
    series = qr.Series.of(frame)
    lines = [series.part(number).to_text() for number in range(2, 2 * series.count)]
    short = call(shop, "receive", "--json", stdin=lines[0] + "\n")
    assert json.loads(short.stdout)["error"]["detail"] == f"1 of {series.count} parts were given."
    bad = call(shop, "receive", "--json", stdin=lines[0] + "\nTALLY1/none\n")
    assert json.loads(bad.stdout)["error"]["code"] == "unreadable_message"
    assert ask(shop, "receive", stdin="\n".join(lines) + "\n")["answer"] == "paid"


def test_the_shops_own_request_in_the_same_picture_does_not_stand_for_the_payment(
    people: tuple[Device, Device], tmp_path: Path
) -> None:
    shop, amina = people
    request, payment = tmp_path / "req.png", tmp_path / "pay.png"
    ask(shop, "request", "25.00", "EUR", "--qr", str(request))
    ask(amina, "pay", "--qr", str(request), "--qr-out", str(payment), "--yes")
    both = [Image.open(path).convert("L") for path in (request, payment)]
    counter = Image.new("L", (sum(one.width for one in both), max(one.height for one in both)), 255)
    counter.paste(both[0], (0, 0))
    counter.paste(both[1], (both[0].width, 0))
    counter.save(tmp_path / "counter.png")
    assert ask(shop, "receive", "--qr", str(tmp_path / "counter.png"))["answer"] == "paid"
    # Alone it is not hidden either: the wallet says what it is.
    wrong = call(shop, "receive", "--qr", str(request), "--json")
    assert json.loads(wrong.stdout)["error"]["detail"] == "This is a request."


def test_several_payments_are_resumed_into_files_of_their_own(
    people: tuple[Device, Device], tmp_path: Path
) -> None:
    shop, amina = people
    for amount in ("1.00", "2.00"):
        ask(amina, "pay", ask(shop, "request", amount, "EUR")["text"], "--yes")
    done = call(amina, "pay", "--resume", "--qr-out", str(tmp_path / "again.gif"), "--json")
    assert done.exit_code == 0
    written = [json.loads(line)["qr"] for line in done.stdout.splitlines()]
    assert written == [[str(tmp_path / "again.gif")], [str(tmp_path / "again-2.gif")]]
    for (name,) in written:
        assert ask(shop, "receive", "--qr", name)["answer"] == "paid"


@pytest.mark.parametrize("name", ["code", "code.jpg", "code.svg", ".png"])
def test_a_name_that_is_neither_png_nor_gif_is_wrong_usage(
    people: tuple[Device, Device], tmp_path: Path, name: str
) -> None:
    done = call(people[0], "request", "1.00", "EUR", "--qr", str(tmp_path / name))
    assert done.exit_code == 2
    assert ".png or .gif" in done.output
    assert ask(people[0], "history")["items"] == []


@pytest.mark.parametrize("command", ["request", "pay", "receive", "return", "show"])
def test_the_help_of_each_command_shows_codes_by_example(command: str) -> None:
    done = CliRunner().invoke(root, ["wallet", command, "--help"])
    assert "Example" in done.output
    assert "--speed [slow|normal|fast]" in done.output
    assert "--animate" in done.output
