"""One spelling in bytes for a row of fields, so that two hashes agree only when the rows do."""

from uuid import UUID

Field = int | str | bytes | UUID | None


def canonical(*fields: Field) -> bytes:
    """Return the fields as bytes: each with a tag, texts and bytes with their length.

    An integer takes eight bytes, signed, big-endian; a length four. No two rows share a spelling.

    Raises:
        OverflowError: an integer does not fit into 64 bits.
    """
    return b"".join(map(_field, fields))


def _field(value: Field) -> bytes:
    if value is None:
        return b"\x00"
    if isinstance(value, int):
        return b"\x01" + value.to_bytes(8, "big", signed=True)
    if isinstance(value, str):
        data = value.encode()
        return b"\x02" + len(data).to_bytes(4, "big") + data
    if isinstance(value, UUID):
        return b"\x04" + value.bytes
    return b"\x03" + len(value).to_bytes(4, "big") + value
