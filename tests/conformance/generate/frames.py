"""Frames, their text form, base45, streams, refusals and the parts of a fountain."""

from offline_protocol import Fountain, Refusal, cbor, to_stream, to_text
from offline_protocol.base45 import encode_base45
from offline_protocol.constants import FRAME_BYTES_MAX
from offline_protocol.frames import FrameKind, pack
from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.world import entropy

_TEXTS = (b"", b"\x00", b"AB", b"Hello!!", b"base-45", b"ietf!", b"\xff", b"\xff\xff", bytes(5))


def vectors() -> Vectors:
    out = Vectors("frames", "Frames, their texts, streams of them, and refusals")
    for kind in FrameKind:
        out.add("frame", f"kind {int(kind)}", data=pack(kind, b"body"))
    out.add("frame", "an empty body", data=b"\x01\x02")
    out.add("frame", "as large as one may be", data=pack(FrameKind.PAYMENT, bytes(32_768)))
    wrong = {
        "nothing": b"",
        "a version only": b"\x01",
        "version 0": b"\x00\x01body",
        "version 2": b"\x02\x01body",
        "version 255": b"\xff\x01body",
        "kind 0": b"\x01\x00body",
        "kind 15": b"\x01\x0fbody",
        "kind 200": b"\x01\xc8body",
        "kind 255": b"\x01\xffbody",
        "a byte too large": b"\x01\x02" + bytes(32_769),
    }
    for name, data in wrong.items():
        out.add("frame", name, error=104, data=data)
    _add_base45(out)
    _add_texts(out)
    _add_refusals(out)
    _add_streams(out)
    return out


def _add_base45(out: Vectors) -> None:
    for number, data in enumerate((*_TEXTS, entropy("base45", size=99))):
        out.add("base45", f"{len(data)} bytes, {number}", text=encode_base45(data))
    wrong = {
        "one character": "A",
        "four characters": "QED8",
        "lower case": "qed8wex0",
        "a comma": "QED,WEX0",
        "a line feed": "QED8WEX\n",
        "a letter outside ASCII": "QED8WE\u00c4",
        "an emoji": "QE\U0001f600",
        "a group of three above its range": "GGW",
        "the greatest group of three": ":::",
        "a group of two above its range": "QED8WEX0:::",
        "a last pair above its range": "V5",
        "the greatest last pair": "::",
        "a digit in full width": "QED8WEX\uff10",
        "an underscore": "QED_",
    }
    for name, text in wrong.items():
        out.add("base45", name, error=104, text=text)


def _add_texts(out: Vectors) -> None:
    for size in (0, 1, 2, 100, 351):
        frame = pack(FrameKind.PAYMENT, entropy("frame", size=size))
        out.add("text", f"a frame of {len(frame)} bytes", text=to_text(frame))
    good = to_text(pack(FrameKind.PAYMENT, b"body"))
    wrong = {
        "nothing": "",
        "the prefix only": "TALLY1:",
        "without its prefix": good.removeprefix("TALLY1:"),
        "with another prefix": "TALLY2:" + good.removeprefix("TALLY1:"),
        "with a prefix in lower case": "tally1:" + good.removeprefix("TALLY1:"),
        "with a blank before it": " " + good,
        "with a blank after it": good + "  ",
        "with a line feed after it": good + "\n",
        "in lower case": good.lower(),
        "with its colon missing": good.replace("TALLY1:", "TALLY1"),
        "another scheme": "bitcoin:1BoatSLRHtKNngkdXEeobR76b53LETtpyT",
        "a part": "TALLY1/2-10-1-0123456789ABCDEF:000000000",
        "a part of a character cut off": good[:-1],
        "another version of frame": "TALLY1:" + encode_base45(b"\x02\x02body"),
        "an unknown kind of frame": "TALLY1:" + encode_base45(b"\x01\xc8body"),
        "a frame that is too large": "TALLY1:" + encode_base45(b"\x01\x02" + bytes(32_769)),
    }
    for name, text in wrong.items():
        out.add("text", name, error=104, text=text)


def _add_refusals(out: Vectors) -> None:
    for number, code in ((508, "payment_of_amount"), (0, "x"), (2**53 - 1, "y" * 64)):
        out.add("refusal", f"{number} {code}", data=Refusal(number, code).encode())
    wrong: dict[str, cbor.Value] = {
        "no map": [508, "payment_of_amount"],
        "no number": {2: "payment_of_amount"},
        "no code": {1: 508},
        "a third field": {1: 508, 2: "payment_of_amount", 3: 1},
        "a number as text": {1: "508", 2: "payment_of_amount"},
        "a code as a number": {1: 508, 2: 508},
        "an empty code": {1: 508, 2: ""},
        "a long code": {1: 508, 2: "y" * 65},
        "a code with a line feed": {1: 508, 2: "a\nb"},
    }
    for name, value in wrong.items():
        out.add("refusal", name, error=102, data=cbor.encode(value))
    out.add("refusal", "nothing", error=101, data=b"")
    out.add("refusal", "cut off", error=101, data=Refusal(508, "code").encode()[:-1])


def _add_streams(out: Vectors) -> None:
    first, second = pack(FrameKind.RECEIPT, b"one"), pack(FrameKind.RECEIPT, b"two")
    whole = to_stream(first) + to_stream(second)
    good = {
        "two messages at once": [whole],
        "byte by byte": [bytes([byte]) for byte in whole],
        "cut inside a length": [whole[:2], whole[2:12], whole[12:]],
        "an empty message": [to_stream(b"")],
        "an unfinished message": [to_stream(first), to_stream(second)[:-1]],
        "nothing": [b""],
        "the largest message": [to_stream(bytes(FRAME_BYTES_MAX))],
    }
    for name, chunks in good.items():
        out.add("stream", name, chunks=[chunk.hex() for chunk in chunks])
    wrong = {
        "a byte too large": [(FRAME_BYTES_MAX + 1).to_bytes(4, "big")],
        "the greatest length": [b"\xff\xff\xff\xff"],
        "a length with its highest bit": [b"\x80\x00\x00\x00"],
        "too large after a good one": [to_stream(first) + b"\x7f\xff\xff\xff"],
        "too large in two chunks": [b"\x00\x01", b"\x00\x00"],
    }
    for name, chunks in wrong.items():
        out.add("stream", name, error=104, chunks=[chunk.hex() for chunk in chunks])


def fountain_vectors() -> Vectors:
    """Parts for several codes, and frames put together of them."""
    out = Vectors("fountain", "A frame in parts for several codes")
    frames = {
        "small": pack(FrameKind.RECEIPT, entropy("small", size=70)),
        "of odd length": pack(FrameKind.PAYMENT, entropy("odd", size=351)),
        "of a payment": pack(FrameKind.PAYMENT, entropy("payment", size=997)),
    }
    for name, frame in frames.items():
        for characters in (90, 150, 400):
            numbers = [*range(1, 13), 255, 256, 257, 65_535]
            out.add(
                "fountain",
                f"{name}, in codes of {characters}",
                frame=frame,
                characters_max=characters,
                numbers=numbers,
            )
    large = pack(FrameKind.PAYMENT, bytes(32_768))
    for name, frame, characters in (
        ("codes that are too small", frames["small"], 60),
        ("codes of nothing", frames["small"], 0),
        ("more pieces than there may be", large, 200),
        ("an empty frame", b"", 400),
        ("a frame of one byte", b"\x01", 400),
        ("a frame that is too large", bytes(32_771), 2_000),
    ):
        out.add("fountain", name, error=104, frame=frame, characters_max=characters, numbers=[1])
    _add_collections(out, frames)
    return out


def _add_collections(out: Vectors, frames: dict[str, bytes]) -> None:
    one, two = (
        Fountain(frames[name], characters_max=150) for name in ("of odd length", "of a payment")
    )
    first = [one.part(number).to_text() for number in range(1, 60)]
    other = [two.part(number).to_text() for number in range(1, 60)]
    count = one.count
    mixed = [text for pair in zip(first, other, strict=True) for text in pair]
    series = {
        "in order": first[:count],
        "backwards": first[:count][::-1],
        "each twice": [text for text in first[:count] for _ in range(2)],
        "one lost, then their sum": [*first[1:count], first[count]],
        "sums only": first[count + 1 : 3 * count + 8],
        "two frames at once": mixed[: 4 * two.count],
        "unfinished": first[: count - 1],
    }
    for name, texts in series.items():
        out.add("parts", name, texts=texts)
    head, body = first[0].split(":", 1)
    fields = head.removeprefix("TALLY1/").split("-")

    def part(place: int, value: str) -> str:
        return "TALLY1/" + "-".join([*fields[:place], value, *fields[place + 1 :]]) + ":" + body

    # A changed part is an equation that is not true: the frame that comes of it has another check.
    untrue = "0" * 3 + body[3:] if not body.startswith("000") else "100" + body[3:]
    wrong = {
        "nothing": "",
        "a frame's prefix and no frame": "TALLY1;",
        "no colon": first[0].replace(":", "", 1),
        "three fields": f"TALLY1/{'-'.join(fields[:3])}:{body}",
        "five fields": f"TALLY1/{'-'.join([*fields, fields[3]])}:{body}",
        "a count of 1": part(0, "1"),
        "a count of 0": part(0, "0"),
        "a count of 257": part(0, "257"),
        "a count with a zero before it": part(0, "0" + fields[0]),
        "a count with a sign": part(0, "+" + fields[0]),
        "a count with a blank": part(0, " " + fields[0]),
        "no count": part(0, ""),
        "another count": part(0, str(int(fields[0]) + 1)),
        "a length of 0": part(1, "0"),
        "a length of 1": part(1, "1"),
        "a length above any frame": part(1, "32771"),
        "a length of many digits": part(1, "9" * 400),
        "another length": part(1, str(int(fields[1]) + 2 * count)),
        "number 0": part(2, "0"),
        "number 65536": part(2, "65536"),
        "a negative number": part(2, "-1"),
        "a number in hex": part(2, "0x1"),
        "a number in another script": part(2, "\u0661"),
        "a short check": part(3, fields[3][:-1]),
        "a long check": part(3, fields[3] + "0"),
        "a check in lower case": part(3, "a" * 16),
        "a check that is not hex": part(3, "G" * 16),
        "data too short": first[0][:-3],
        "data too long": first[0] + "000",
        "data that is not base45": first[0][:-3] + "abc",
        "no data": first[0].split(":", 1)[0] + ":",
        "a prefix in lower case": first[0].lower(),
    }
    out.add("parts", "wrong texts", texts=list(wrong.values()))
    out.add(
        "parts", "wrong texts among good ones", texts=[first[0], *wrong.values(), *first[1:count]]
    )
    whole = to_text(frames["small"])
    out.add("parts", "a whole frame among parts", texts=[first[0], whole, *first[1:count]])
    out.add("parts", "a whole frame cut off", texts=[first[0], whole[:-1], whole + " ", whole])
    # The example of the specification.
    seen = {2: "LB8V1", 5: "$UB+1", 7: "L B10", 9: "0P3W1", 8: "KO0V1"}
    example = [f"TALLY1/4-10-{number}-BFBC634ED96599F3:{data}" for number, data in seen.items()]
    out.add("parts", "ten bytes in four pieces", texts=example)
    out.add("parts", "an untrue part", texts=[f"{head}:{untrue}", *first[1:count]])
    out.add(
        "parts",
        "an untrue part, then all again",
        texts=[f"{head}:{untrue}", *first[1:count], *first[:count]],
    )
