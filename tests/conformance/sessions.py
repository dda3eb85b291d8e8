"""Handshake and channel of one side, driven by what a conformance case says."""

from typing import Any

from offline_protocol import Channel, Initiator, ProtocolError, Responder

Json = Any


def open_session(given: dict[str, Json]) -> Json:
    """One side of a handshake, then its steps: seal what we say, open what came."""
    ephemeral = bytes.fromhex(given["ephemeral"])
    received = bytes.fromhex(given["received"])
    prologue = bytes.fromhex(given["request_id"])
    if given["role"] == "payer":
        session_key = bytes.fromhex(given["session_key"])
        payer = Initiator(prologue=prologue, remote_static=session_key, ephemeral=ephemeral)
        message = payer.write_message()
        payer.read_message(received)
        return {"message": message.hex(), **_use(payer.channel, given["steps"])}
    secret = bytes.fromhex(given["session_secret"])
    payee = Responder(prologue=prologue, static=secret, ephemeral=ephemeral)
    payee.read_message(received)
    message = payee.write_message()
    return {"message": message.hex(), **_use(payee.channel, given["steps"])}


def _use(channel: Channel, steps: list[dict[str, str]]) -> Json:
    done: list[Json] = []
    for step in steps:
        try:
            if "seal" in step:
                result = channel.sending.encrypt(bytes.fromhex(step["seal"]))
            else:
                result = channel.receiving.decrypt(bytes.fromhex(step["open"]))
        except ProtocolError as error:
            done.append({"error": error.number})
        else:
            done.append(result.hex())
    return {"hash": channel.handshake_hash.hex(), "code": channel.code, "steps": done}
