"""The story: what happens, step by step, and what must have come out at the end."""

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from offline_protocol import frames
from offline_protocol.chains import Payment
from sim.demo import processes
from sim.demo.cut import CuttingWire
from sim.demo.people import PEOPLE, SHOP, SHOPPER, SUPPLIER, Person, register
from sim.demo.processes import DemoFailed, Device, ServerProcess
from sim.demo.stage import Stage

_LISTEN = "127.0.0.1:0"


@dataclass
class Outcome:
    """What the last line says; filled from what was seen, never from what was planned."""

    payments: int = 0
    hops_max: int = 0
    interrupted_recovered: int = 0
    double_spends_found: int = 0
    convicted: str = ""
    payees_lost: int = 0
    ledger_balanced: bool = False
    float_equals_open_vouchers: bool = False

    @property
    def as_hoped(self) -> bool:
        return self == Outcome(self.payments, 2, 1, 1, "shopper", 0, True, True)  # noqa: FBT003


@dataclass
class Story:
    """Three people, a server, and one folder for everything."""

    folder: Path
    stage: Stage
    outcome: Outcome = field(default_factory=Outcome)

    def __post_init__(self) -> None:
        self.server = ServerProcess(self.folder)
        self.devices = {person: self._device(person) for person in PEOPLE}
        self.received: dict[Person, int] = dict.fromkeys(PEOPLE, 0)
        self.paid_away: dict[Person, int] = dict.fromkeys(PEOPLE, 0)

    def play(self) -> Outcome:
        """Tell the whole story once.

        Raises:
            DemoFailed: a step did not end as it must.
        """
        self._open_accounts()
        self._load_value()
        self.stage.chapter("The shopper pays the shop, by QR pictures")
        self._pay_by_qr(SHOPPER, SHOP, "25.00")
        self._be_interrupted()
        self._cheat()
        self._reconnect()
        self._prove()
        self._add_up()
        return self.outcome

    def _device(self, person: Person) -> Device:
        folder = self.folder / person.username
        folder.mkdir(mode=0o700)
        return Device(person.name, folder, f"passphrase of {person.username}")

    def _open_accounts(self) -> None:
        self.stage.chapter("Three people open accounts; each enrols a phone")
        with self.stage.doing("The server starts, on SQLite, with fresh keys."):
            self.server.start()
        for person in PEOPLE:
            with self.stage.doing(f"{person.name.capitalize()} registers and enrols a device."):
                register(person, self.server.url, self.server.data_dir / "spool")
                if person is not SHOPPER:
                    self.server.run("role", person.username, "merchant")
                device = self.devices[person]
                device.run("init")
                device.run(
                    "enrol",
                    "--server",
                    self.server.url,
                    "--username",
                    person.username,
                    extra={"TALLYSTICK_PASSWORD": person.password},
                )

    def _load_value(self) -> None:
        self.stage.chapter("The shopper loads value; then the network goes away")
        shopper = self.devices[SHOPPER]
        with self.stage.doing("Top-up of 100.00 EUR through the sandbox card gateway."):
            shopper.run("topup", "100.00", "EUR", "--card", "sandbox-ok")
        with self.stage.doing("60.00 EUR move onto the phone, as vouchers the server signs."):
            shopper.run("load", "60.00", "EUR")
        with self.stage.doing("The server stops. From here on everybody is offline."):
            self.server.stop()

    def _pay_by_qr(self, payer: Person, payee: Person, amount: str) -> None:
        step = self.outcome.payments + 1
        request, payment, receipt = (
            str(self.folder / f"{step}-{name}.png") for name in ("request", "payment", "receipt")
        )
        giver, taker = self.devices[payer], self.devices[payee]
        with self.stage.doing(f"{payee.name.capitalize()} shows a code asking for {amount} EUR."):
            taker.run("request", amount, "EUR", "--qr", request)
        with self.stage.doing(f"{payer.name.capitalize()} reads its pixels and shows a payment."):
            shown = giver.run("pay", "--qr", request, "--qr-out", payment, "--yes")
            self._note_hops(shown["text"])
        self.stage.say(f"It was asked to pay {shown['exchange']['peer_name']}, a certified name.")
        with self.stage.doing(f"{payee.name.capitalize()} checks every signature: paid."):
            answer = taker.run("receive", "--qr", payment, "--qr-out", receipt)
            self._note_paid(payer, payee, answer["exchange"])
        with self.stage.doing(f"{payer.name.capitalize()} reads the receipt."):
            answer = giver.run("receive", "--qr", receipt)
            _expect(answer["exchange"]["confirmed"], "the receipt confirms the payment", answer)

    def _be_interrupted(self) -> None:
        self.stage.chapter("The shop pays its supplier with what it received; a phone dies")
        shop, supplier = self.devices[SHOP], self.devices[SUPPLIER]
        request = str(self.folder / "2-request.png")
        wire = CuttingWire()
        asking = supplier.start(
            *("request", "10.00", "EUR", "--lan", "--listen", _LISTEN, "--linger", "0"),
            *("--advertise", wire.address, "--qr", request),
        )
        try:
            shown = _first_object(asking)
            self.stage.good("The supplier waits on the local network; its request is a QR code.")
            host, _, port = shown["listening"].rpartition(":")
            paying = shop.start("pay", "--qr", request, "--yes")
            with self.stage.doing("An encrypted session carries the payment ..."):
                wire.carry((host, int(port)), lambda: paying.pid)
                paying.communicate(timeout=30)
            _expect(paying.returncode == -signal.SIGKILL, "the payer was killed", paying.returncode)
            self.stage.alarm(
                "kill -9: the shop's phone dies after sending, before the receipt arrives."
            )
            paid = processes.finish(asking)
        except BaseException:
            asking.kill()
            raise
        self._note_paid(SHOP, SUPPLIER, paid["exchange"])
        self.stage.say("The supplier has been paid and knows it. The shop cannot know.")
        unsure = shop.run("balance")["offline"][0]
        _expect(
            unsure["unconfirmed"] == paid["exchange"]["amount"],
            "10.00 EUR stay locked, sent and unconfirmed",
            unsure,
        )
        self.stage.say("The shop's wallet keeps 10.00 EUR locked: sent, not confirmed.")
        again, receipt = (str(self.folder / f"2-{name}.png") for name in ("again", "receipt"))
        with self.stage.doing("The shop shows the very same bytes again, as a QR code."):
            resumed = shop.run("pay", "--resume", "--show-only", "--qr-out", again)
            self._note_hops(resumed["text"])
        with self.stage.doing("The supplier answers with the very same receipt; nothing doubles."):
            repeated = supplier.run("receive", "--qr", again, "--qr-out", receipt)
            _expect(repeated["answer"] == "paid_before", "it was paid before", repeated)
        with self.stage.doing("The shop reads the receipt: confirmed."):
            answer = shop.run("receive", "--qr", receipt)
            _expect(answer["exchange"]["confirmed"], "the receipt confirms the payment", answer)
        self.outcome.interrupted_recovered += 1

    def _cheat(self) -> None:
        self.stage.chapter("The shopper cheats: an old image of the phone spends the value again")
        shopper = self.devices[SHOPPER]
        image = shopper.image()
        self.stage.good("The shopper makes an image of the phone's storage.")
        self._pay_by_qr(SHOPPER, SHOP, "15.00")
        shopper.restore(image, whole=False)
        shown = shopper.run("show")
        _expect(shown["restored"], "the wallet notices that it is an old copy", shown)
        self.stage.good("The wallet file alone is put back: it notices, and pays nothing.")
        shopper.restore(image, whole=True)
        self.stage.alarm("The whole image is put back. It has forgotten the 15.00 EUR.")
        self._pay_by_qr(SHOPPER, SUPPLIER, "20.00")
        self.stage.say("Offline, nobody could tell: the supplier has never met those units.")

    def _reconnect(self) -> None:
        self.stage.chapter("The network comes back; the phones sync, one after the other")
        with self.stage.doing("The server starts again."):
            self.server.start()
        for person in (SHOPPER, SHOP, SUPPLIER):
            with self.stage.doing(f"{person.name.capitalize()} syncs."):
                answer = self.devices[person].run("sync")
            for event in answer["events"]:
                if event["type"] == "fork_found":
                    self.stage.alarm(
                        f"Double spend of {_money(event['amount'])} by {event['account']}. "
                        f"{person.name.capitalize()} is told, and paid."
                    )

    def _prove(self) -> None:
        self.stage.chapter("The proof stands on its own")
        with httpx.Client(base_url=self.server.url, timeout=30) as http:
            token = sign_in(http, SUPPLIER)
            headers = {"Authorization": f"Bearer {token}"}
            conflicts = _answer(http.get("/v1/offline/conflicts", headers=headers))["items"]
            _expect(bool(conflicts), "the supplier is told about the conflict", conflicts)
            self.outcome.double_spends_found = len(conflicts)
            proof = _answer(
                http.get(f"/v1/offline/fraud-proofs/{conflicts[0]['id']}", headers=headers)
            )
            key_set = _answer(http.get("/v1/offline/key-set"))
        proof_file, key_set_file = self.folder / "proof.json", self.folder / "key-set.json"
        proof_file.write_text(json.dumps(proof), encoding="utf-8")
        key_set_file.write_text(json.dumps(key_set), encoding="utf-8")
        verdict = processes.check_proof(proof_file, key_set_file)
        _expect(verdict["convicts"], "the proof convicts", verdict)
        names = {person.username: person for person in PEOPLE}
        convicted = names[proof["convicted"]["display_name"]]
        self.outcome.convicted = convicted.name.removeprefix("the ")
        first, second = verdict["transfers"]
        self.stage.table(
            f"Convicted: {convicted.username} ({convicted.name}), by two signatures of one key",
            ("", "first", "second"),
            [
                (
                    "signed away",
                    *(f"{_money(t['lo'])} to {_money(t['hi'])}" for t in (first, second)),
                ),
                ("of the object", *(t["parent"][:16] for t in (first, second))),
                ("to the key", *(t["payee_key_id"][:16] for t in (first, second))),
                ("as number", *(str(t["sequence"]) for t in (first, second))),
                ("transfer", *(t["id"][:16] for t in (first, second))),
            ],
        )
        self.stage.say(f"The key is {verdict['key_id'][:16]}..., enrolled by {convicted.username}.")
        self.stage.good("`tallystick proof verify` confirms it, with no server and no secret.")

    def _add_up(self) -> None:
        self.stage.chapter("The books")
        with httpx.Client(base_url=self.server.url, timeout=30) as http:
            rows = []
            for person in PEOPLE:
                headers = {"Authorization": f"Bearer {sign_in(http, person)}"}
                items = _answer(http.get("/v1/balances", headers=headers))["items"]
                euro = next((item for item in items if item["currency"] == "EUR"), None)
                available = euro["available"] if euro else 0
                due = self.received[person] - self.paid_away[person]
                if person is not SHOPPER and available < due:
                    self.outcome.payees_lost += 1
                offline = euro["offline"] if euro else 0
                rows.append((person.name, _money(available), _money(offline)))
        self.stage.table("Balances", ("", "available", "still on vouchers"), rows)
        report = self.server.operator("offline-report")
        euro = next(item for item in report["currencies"] if item["currency"] == "EUR")
        self.stage.table(
            "Offline money",
            ("float", "open vouchers", "debt booked", "recovered", "paid by the fund"),
            [
                (
                    _money(euro["offline_float"]),
                    _money(euro["open_vouchers"]),
                    _money(euro["recovered"] + euro["debts"]),
                    _money(euro["recovered"]),
                    _money(-euro["guarantee_fund"]),
                )
            ],
        )
        self.stage.say(
            f"The shopper is charged: {_money(euro['recovered'])} recovered, "
            f"{_money(euro['debts'])} still owed."
        )
        trial = self.server.operator("trial-balance")
        ledger = self.server.operator("verify-ledger")
        self.outcome.ledger_balanced = bool(trial["balanced"] and ledger["sound"])
        self.outcome.float_equals_open_vouchers = bool(report["adds_up"])
        self.stage.good("Every currency sums to zero; every posting and seal was recomputed.")
        self.stage.good("The float equals the open vouchers. No honest payee lost anything.")

    def _note_paid(self, payer: Person, payee: Person, exchange: dict[str, Any]) -> None:
        _expect(exchange["words"] == "paid", f"{payee.name} was paid", exchange)
        self.outcome.payments += 1
        self.received[payee] += exchange["amount"]
        self.paid_away[payer] += exchange["amount"]

    def _note_hops(self, text: str) -> None:
        """Count the changes of owner in a payment that was shown."""
        _, body = frames.unpack(frames.from_text(text))
        hops = max(chain.hops_used for chain in Payment.decode(body).chains)
        self.outcome.hops_max = max(self.outcome.hops_max, hops)


def sign_in(http: httpx.Client, person: Person) -> str:
    """Sign in as a browser would and return an access token."""
    body = {"identifier": person.username, "password": person.password, "device_name": "browser"}
    return str(_answer(http.post("/v1/sessions", json=body))["access_token"])


@contextmanager
def story_in(folder: Path, stage: Stage) -> Iterator[Story]:
    """Give a story whose server is stopped in the end, whatever happened."""
    story = Story(folder, stage)
    try:
        yield story
    finally:
        story.server.stop()


def _answer(response: httpx.Response) -> dict[str, Any]:
    if not response.is_success:
        raise DemoFailed(f"{response.request.url}: {response.status_code} {response.text}")
    document: dict[str, Any] = response.json()
    return document


def _expect(condition: bool, what: str, seen: object) -> None:  # noqa: FBT001
    if not condition:
        raise DemoFailed(f"Expected that {what}, but saw: {seen}")


def _first_object(process: processes.Started) -> dict[str, Any]:
    """Return the first JSON object that a started wallet command prints."""
    output = process.stdout
    assert output is not None
    line: list[str] = []
    reader = threading.Thread(target=lambda: line.append(output.readline()), daemon=True)
    reader.start()
    reader.join(30)
    if not line or not line[0].startswith("{"):
        raise DemoFailed(f"{process.args!r} printed no object in time: {line}")
    document: dict[str, Any] = json.loads(line[0])
    return document


def _money(amount: int) -> str:
    return f"{amount / 100:.2f} EUR"
