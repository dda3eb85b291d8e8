"""Codes: how long a payment by still codes keeps a processor busy, and how fast an animation is.

Pictures go through the real encoder, a camera in software that holds them fairly badly, and the
real decoder. For an animation the time is that of the display: codes times their interval.
"""

import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from PIL import Image

from client_sdk.testing import Issuer, SeededEntropy, new_wallet
from client_sdk.transports import qr
from client_sdk.transports.qr.animate import picture_of
from offline_protocol.frames import FrameKind, pack
from tests.factories.camera import LIGHT, Camera

Figure = dict[str, object]
PAYMENTS = 15
FRAME_BYTES = (2_400, 8_192)
ROUNDS = 20
LOSSES = (0, 30)
SCALE = 5
"""Pixels per module: what a camera of 720 lines has of a code that fills most of its view."""


class Stopwatch:
    """Milliseconds of each piece of work, under several names."""

    def __init__(self) -> None:
        self.took: dict[str, list[float]] = {}

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        milliseconds = (time.perf_counter() - started) * 1000
        self.took.setdefault(name, []).append(milliseconds)


async def time_to_pay() -> AsyncIterator[Figure]:
    """Request, payment and receipt: each made, drawn, seen, read and taken."""
    issuer = Issuer("bench")
    payer, payee = await new_wallet(issuer, "ada", 10_000), await new_wallet(issuer, "shop")
    camera = Camera(LIGHT, seed="bench")
    payments: list[Stopwatch] = []
    for number in range(PAYMENTS):
        watch = Stopwatch()
        with watch.on("wallets"):
            asked = await payee.request_payment(100 + number, "EUR")
        request = _across(asked.frame, camera, watch)
        with watch.on("wallets"):
            payment = await payer.pay(request)
            frame = await payer.frame_of(payment.id)
        arrived = _across(frame, camera, watch)
        with watch.on("wallets"):
            answer = await payee.receive(arrived)
        assert answer.frame is not None
        receipt = _across(answer.frame, camera, watch)
        with watch.on("wallets"):
            done = await payer.receive(receipt)
        assert done.exchange is not None
        assert done.exchange.confirmed
        payments.append(watch)
    await payer.close()
    await payee.close()
    total = statistics.median(sum(map(sum, watch.took.values())) for watch in payments)
    drawing, reading, wallets = (
        statistics.median(sum(watch.took[name]) for watch in payments)
        for name in ("drawing", "reading", "wallets")
    )
    yield {
        "name": "qr.time_to_pay_still",
        "value": round(total, 1),
        "unit": "ms",
        "ratio": round(total / (drawing + reading), 3),
        "to": f"the three codes alone: {drawing:.0f} ms to draw, {reading:.1f} ms to read; "
        f"the wallets, in memory: {wallets:.0f} ms",
    }


def _across(frame: bytes, camera: Camera, watch: Stopwatch) -> bytes:
    with watch.on("drawing"):
        code = qr.still(frame)
        assert code is not None
        picture = picture_of(code, scale=SCALE)
    seen = camera.sees(picture)
    with watch.on("reading"):
        got = qr.read_live([seen])
    assert got == frame
    return got


async def animated_throughput() -> AsyncIterator[Figure]:
    """Bytes per second of display at each speed, with every code seen and with some missed."""
    for size in FRAME_BYTES:
        frame = pack(FrameKind.PAYMENT, SeededEntropy(f"bench {size}")(size - 2))
        count = qr.Series.of(frame).count
        for loss in LOSSES:
            runs = [_film(frame, loss, seed) for seed in range(ROUNDS)]
            shown = statistics.mean(codes for codes, _ in runs)
            drawing, reading = (
                statistics.median(one for _, watch in runs for one in watch.took[name])
                for name in ("drawing", "reading")
            )
            for speed in qr.Speed:
                seconds = speed.interval_ms / 1000
                limit = size / (count * seconds)
                yield {
                    "name": f"qr.animated_throughput.{speed}.{size}_bytes.{loss}_lost",
                    "value": round(size / (shown * seconds)),
                    "unit": "bytes/s",
                    "ratio": round(count / shown, 3),
                    "to": f"{count} codes and none missed: {limit:.0f} bytes/s; "
                    f"{shown:.1f} were shown, in {shown * seconds:.1f} s; a code takes "
                    f"{drawing:.0f} ms to draw and {reading:.1f} ms to read",
                }


def _film(frame: bytes, loss: int, seed: int) -> tuple[int, Stopwatch]:
    """Show an animation to a camera until it is read: codes shown, and what they cost."""
    chance, camera, watch = random.Random(seed), Camera(LIGHT, seed=seed), Stopwatch()
    reader = qr.CodeReader()
    for shown, code in enumerate(_drawn(frame, watch), 1):
        if chance.randrange(100) < loss:
            continue
        seen = camera.sees(code)
        with watch.on("reading"):
            got = reader.look(seen)
        if got is not None:
            assert got == frame
            return shown, watch
    raise AssertionError("an endless series ended")


def _drawn(frame: bytes, watch: Stopwatch) -> Iterator[Image.Image]:
    codes = qr.Series.of(frame).endless()
    while True:
        with watch.on("drawing"):
            picture = picture_of(next(codes), scale=SCALE)
        yield picture


BENCHES = {
    "qr.time_to_pay_still": time_to_pay,
    "qr.animated_throughput": animated_throughput,
}


async def run(only: str | None) -> None:
    """Print one JSON line for each figure whose name begins with ``only``."""
    for name, bench in BENCHES.items():
        if only is not None and not (name.startswith(only) or only.startswith(name)):
            continue
        async for figure in bench():
            if only is None or str(figure["name"]).startswith(only):
                sys.stdout.write(json.dumps(figure) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1] if len(sys.argv) > 1 else None))
