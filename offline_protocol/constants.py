"""Sizes and limits of the protocol. Amounts are minor units, times are seconds, sizes are bytes."""

from typing import Final

UINT_MAX: Final = 2**53 - 1
"""Greatest integer: every JavaScript number up to here is exact."""

OBJECT_BYTES_MAX: Final = 4_096
"""Greatest signed object, envelope included."""

PAYMENT_BYTES_MAX: Final = 32_768
"""Greatest payment; it fits one Noise message."""

REVOCATION_LIST_BYTES_MAX: Final = 1 << 20
"""Greatest revocation list, envelope included: about 130,000 entries."""

REVOCATION_DELTA_BYTES_MAX: Final = PAYMENT_BYTES_MAX
"""Greatest revocation delta, envelope included; it travels between devices."""

FRAME_BYTES_MAX: Final = PAYMENT_BYTES_MAX + 2
"""Greatest frame: version, kind and the largest body."""

DEPTH_MAX: Final = 6
"""How deep arrays and maps may nest."""

HOPS_MAX: Final = 8
"""Changes of owner that no issuer may exceed; a voucher sets its own, lower limit."""

CHAIN_LINKS_MAX: Final = 2 * HOPS_MAX + 1
"""Transfers in one chain: each change of owner may be returned once, and a claim ends it."""

CHAINS_MAX: Final = 8
"""Chains in one payment."""

CLOCK_SLACK_S: Final = 120
"""How far two honest clocks may differ."""

ID_BYTES: Final = 32
REQUEST_ID_BYTES: Final = 16
SERIAL_BYTES: Final = 16
NONCE_BYTES: Final = 16
SESSION_KEY_BYTES: Final = 32
ED25519_KEY_BYTES: Final = 32
P256_KEY_BYTES: Final = 33
SIGNATURE_BYTES: Final = 64
KID_BYTES_MAX: Final = 8
REVOKED_PREFIX_BYTES: Final = 8

NAME_BYTES_MAX: Final = 64
MEMO_BYTES_MAX: Final = 280
TRANSPORT_BYTES_MAX: Final = 128
TRANSPORTS_MAX: Final = 8
ISSUER_KEYS_MAX: Final = 32
SCALES_MAX: Final = 64
ACCEPTANCE_RULES_MAX: Final = 64
RECEIPT_TRANSFERS_MAX: Final = CHAINS_MAX

NO_REQUEST: Final = bytes(REQUEST_ID_BYTES)
"""The request id of a claim, which answers nobody's request."""
