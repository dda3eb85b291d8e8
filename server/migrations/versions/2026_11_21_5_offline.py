"""Offline money: vouchers, records, positions, conflicts, events."""

import sqlalchemy as sa
from alembic import op

from server.kit.db import Id, Json, UtcTime

revision = "0005_offline"
down_revision = "0004_payments"

_ID = sa.LargeBinary(32)


def _tenant() -> sa.Column[int]:
    return sa.Column("tenant", sa.Integer, primary_key=True, autoincrement=False)


def upgrade() -> None:
    op.create_table(
        "offline_device",
        _tenant(),
        sa.Column("key_id", _ID, primary_key=True),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("device_id", Id, nullable=False),
        sa.Column("convicted_at", UtcTime),
        sa.Column("refusal", sa.String(32)),
        sa.Column("synced_at", UtcTime),
    )
    op.create_table(
        "offline_certificate",
        _tenant(),
        sa.Column("id", _ID, primary_key=True),
        sa.Column("key_id", _ID, nullable=False),
        sa.Column("valid_from", sa.BigInteger, nullable=False),
        sa.Column("valid_to", sa.BigInteger, nullable=False),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
    )
    op.create_index(
        "ix_offline_certificate_key", "offline_certificate", ["tenant", "key_id", "valid_to"]
    )
    _records()
    _money()
    _news()


def _records() -> None:
    op.create_table(
        "offline_voucher",
        _tenant(),
        sa.Column("id", _ID, primary_key=True),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("holder", _ID, nullable=False),
        sa.Column("currency", sa.String(10), nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.Column("unpaid", sa.BigInteger, nullable=False),
        sa.Column("issued_at", sa.BigInteger, nullable=False),
        sa.Column("spend_by", sa.BigInteger, nullable=False),
        sa.Column("claim_by", sa.BigInteger, nullable=False),
        sa.Column("closed", sa.Boolean, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
        sa.CheckConstraint("value > 0", name="value"),
        sa.CheckConstraint("unpaid >= 0 AND unpaid <= value", name="unpaid"),
    )
    op.create_index("ix_offline_voucher_due", "offline_voucher", ["tenant", "closed", "claim_by"])
    op.create_index("ix_offline_voucher_user", "offline_voucher", ["tenant", "user_id", "closed"])
    op.create_table(
        "offline_transfer",
        _tenant(),
        sa.Column("id", _ID, primary_key=True),
        sa.Column("root", _ID, nullable=False),
        sa.Column("parent", _ID, nullable=False),
        sa.Column("lo", sa.BigInteger, nullable=False),
        sa.Column("hi", sa.BigInteger, nullable=False),
        sa.Column("signer", _ID, nullable=False),
        sa.Column("payee", _ID, nullable=False),
        sa.Column("kind", sa.String(6), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("late", sa.Boolean, nullable=False),
        sa.Column("received_at", UtcTime, nullable=False),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
        sa.CheckConstraint("lo >= 0 AND hi > lo", name="interval"),
    )
    op.create_index("ix_offline_transfer_root", "offline_transfer", ["tenant", "root"])
    op.create_index(
        "ix_offline_transfer_signer", "offline_transfer", ["tenant", "signer", "sequence"]
    )
    op.create_table(
        "offline_waiting",
        _tenant(),
        sa.Column("envelope_id", _ID, primary_key=True),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("parent", _ID, nullable=False),
        sa.Column("uploader", _ID, nullable=False),
        sa.Column("received_at", UtcTime, nullable=False),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_offline_waiting_parent", "offline_waiting", ["tenant", "parent"])
    op.create_index("ix_offline_waiting_uploader", "offline_waiting", ["tenant", "uploader"])
    op.create_table(
        "offline_receipt",
        _tenant(),
        sa.Column("id", _ID, primary_key=True),
        sa.Column("payee", _ID, nullable=False),
        sa.Column("received_at", UtcTime, nullable=False),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
    )


def _money() -> None:
    op.create_table(
        "offline_position",
        _tenant(),
        sa.Column("root", _ID, primary_key=True),
        sa.Column("leg", sa.String(10), primary_key=True),
        sa.Column("account", Id, primary_key=True),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("held", sa.BigInteger, nullable=False),
        sa.Column("hold", Id),
        sa.CheckConstraint("amount >= 0", name="amount"),
        sa.CheckConstraint("held >= 0 AND held <= amount", name="held"),
    )
    op.create_index("ix_offline_position_account", "offline_position", ["tenant", "account", "leg"])
    op.create_table(
        "offline_account",
        _tenant(),
        sa.Column("user_id", Id, primary_key=True),
        sa.Column("currency", sa.String(10), primary_key=True),
        sa.Column("owed", sa.BigInteger, nullable=False),
        sa.Column("recovered", sa.BigInteger, nullable=False),
        sa.Column("overdrawn", sa.BigInteger, nullable=False),
        sa.Column("instant_limit", sa.BigInteger, nullable=False),
        sa.Column("fund_limit", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.CheckConstraint(
            "owed >= 0 AND recovered >= 0 AND recovered <= owed AND overdrawn >= 0", name="debt"
        ),
    )


def _news() -> None:
    op.create_table(
        "offline_conflict",
        _tenant(),
        sa.Column("id", _ID, primary_key=True),
        sa.Column("kind", sa.String(5), nullable=False),
        sa.Column("key_id", _ID, nullable=False),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("device_id", Id, nullable=False),
        sa.Column("root", _ID),
        sa.Column("currency", sa.String(10)),
        sa.Column("lo", sa.BigInteger, nullable=False),
        sa.Column("hi", sa.BigInteger, nullable=False),
        sa.Column("proof", sa.LargeBinary, nullable=False),
        sa.Column("found_at", UtcTime, nullable=False),
    )
    op.create_index("ix_offline_conflict_user", "offline_conflict", ["tenant", "user_id"])
    op.create_index("ix_offline_conflict_root", "offline_conflict", ["tenant", "root"])
    op.create_table(
        "offline_conflict_party",
        _tenant(),
        sa.Column("conflict", _ID, primary_key=True),
        sa.Column("user_id", Id, primary_key=True),
        sa.Column("role", sa.String(8), nullable=False),
    )
    op.create_index(
        "ix_offline_conflict_party_user", "offline_conflict_party", ["tenant", "user_id"]
    )
    op.create_table(
        "offline_event",
        _tenant(),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("device_key", _ID),
        sa.Column("type", sa.String(24), nullable=False),
        sa.Column("body", Json, nullable=False),
        sa.Column("at", UtcTime, nullable=False),
    )
    op.create_index("ix_offline_event_user", "offline_event", ["tenant", "user_id", "seq"])
