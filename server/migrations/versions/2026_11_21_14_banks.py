"""Partner banks, bank accounts of users, deposits, statements that came in."""

import sqlalchemy as sa
from alembic import op

from server.kit.db import Id, Json, UtcTime

revision = "0014_banks"
down_revision = "0013_cards"


def upgrade() -> None:
    _banks()
    _money_in()
    _money_out()
    _oversight()


def _tenant() -> sa.Column[int]:
    return sa.Column("tenant", sa.Integer, primary_key=True, autoincrement=False)


def _banks() -> None:
    op.create_table(
        "bank",
        _tenant(),
        sa.Column("id", Id, primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("country", sa.String(2), nullable=False),
        sa.Column("bic", sa.String(11)),
        sa.Column("holder", sa.String(70), nullable=False),
        sa.Column("accounts", Json, nullable=False),
        sa.Column("rail", sa.String(8), nullable=False),
        sa.Column("api_url", sa.String(255)),
        sa.Column("status", sa.String(9), nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("suspended_at", UtcTime),
    )
    op.create_index("uq_bank_name", "bank", ["tenant", "name"], unique=True)
    op.create_table(
        "bank_secret",
        _tenant(),
        sa.Column("bank", Id, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("made_at", UtcTime, nullable=False),
        sa.Column("signs_from", UtcTime, nullable=False),
        sa.Column("ends_at", UtcTime),
    )
    op.create_table(
        "bank_reference",
        _tenant(),
        sa.Column("bank", Id, primary_key=True),
        sa.Column("currency", sa.String(10), primary_key=True),
        sa.Column("user_id", Id, primary_key=True),
        sa.Column("reference", sa.String(16), nullable=False),
        sa.Column("made_at", UtcTime, nullable=False),
    )
    op.create_index(
        "uq_bank_reference_reference", "bank_reference", ["tenant", "reference"], unique=True
    )


def _money_in() -> None:
    op.create_table(
        "bank_delivery",
        _tenant(),
        sa.Column("bank", Id, primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("at", UtcTime, nullable=False),
    )
    op.create_table(
        "bank_deposit",
        _tenant(),
        sa.Column("bank", Id, primary_key=True),
        sa.Column("transaction_id", sa.String(35), primary_key=True),
        sa.Column("id", Id, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(10), nullable=False),
        sa.Column("booked_on", sa.Date, nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("payer_sealed", sa.LargeBinary),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("cause", sa.String(32)),
        sa.Column("over_limit", sa.Boolean, nullable=False),
        sa.Column("user_id", Id),
        sa.Column("taken_back", sa.BigInteger, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("proposal", Json),
        sa.Column("proposed_by", Id),
        sa.Column("received_at", UtcTime, nullable=False),
        sa.Column("decided_at", UtcTime),
        sa.CheckConstraint("amount > 0", name="amount"),
        sa.CheckConstraint("taken_back >= 0 AND taken_back <= amount", name="taken_back"),
    )
    op.create_index("ix_bank_deposit_state", "bank_deposit", ["tenant", "state", "received_at"])
    op.create_index("ix_bank_deposit_user", "bank_deposit", ["tenant", "user_id", "received_at"])
    op.create_index("uq_bank_deposit_id", "bank_deposit", ["tenant", "id"], unique=True)
    op.create_table(
        "bank_reversal",
        _tenant(),
        sa.Column("bank", Id, primary_key=True),
        sa.Column("transaction_id", sa.String(35), primary_key=True),
        sa.Column("original", sa.String(35), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(10), nullable=False),
        sa.Column("recovered", sa.BigInteger, nullable=False),
        sa.Column("at", UtcTime, nullable=False),
        sa.CheckConstraint("amount > 0", name="amount"),
    )


def _money_out() -> None:
    op.create_table(
        "bank_account",
        _tenant(),
        sa.Column("id", Id, primary_key=True),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("slot", sa.Integer),
        sa.Column("currency", sa.String(10), nullable=False),
        sa.Column("country", sa.String(2), nullable=False),
        sa.Column("bank_name", sa.String(140)),
        sa.Column("bic", sa.String(11)),
        sa.Column("masked", sa.String(42), nullable=False),
        sa.Column("number_sealed", sa.LargeBinary, nullable=False),
        sa.Column("number_index", sa.LargeBinary),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("code_sealed", sa.LargeBinary),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("expires_at", UtcTime),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("verified_at", UtcTime),
        sa.Column("removed_at", UtcTime),
    )
    op.create_index(
        "uq_bank_account_number",
        "bank_account",
        ["tenant", "user_id", "currency", "number_index"],
        unique=True,
    )
    op.create_index(
        "uq_bank_account_slot", "bank_account", ["tenant", "user_id", "slot"], unique=True
    )
    op.create_table(
        "bank_order",
        _tenant(),
        sa.Column("id", Id, primary_key=True),
        sa.Column("bank", Id, nullable=False),
        sa.Column("purpose", sa.String(12), nullable=False),
        sa.Column("subject", Id, nullable=False),
        sa.Column("user_id", Id),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(10), nullable=False),
        sa.Column("content_sealed", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("external_id", sa.String(64)),
        sa.Column("reason", sa.String(64)),
        sa.Column("file", Id),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("retry_at", UtcTime, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("settled_at", UtcTime),
        sa.CheckConstraint("amount > 0", name="amount"),
    )
    op.create_index("ix_bank_order_due", "bank_order", ["tenant", "state", "retry_at"])
    op.create_index("ix_bank_order_file", "bank_order", ["tenant", "file"])
    op.create_table(
        "bank_file",
        _tenant(),
        sa.Column("id", Id, primary_key=True),
        sa.Column("bank", Id, nullable=False),
        sa.Column("currency", sa.String(10), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("orders", sa.Integer, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("content_sealed", sa.LargeBinary, nullable=False),
        sa.Column("made_at", UtcTime, nullable=False),
        sa.Column("handed_over_at", UtcTime),
    )
    op.create_index(
        "uq_bank_file_number",
        "bank_file",
        ["tenant", "bank", "currency", "day", "number"],
        unique=True,
    )


def _oversight() -> None:
    op.create_table(
        "bank_break",
        _tenant(),
        sa.Column("id", Id, primary_key=True),
        sa.Column("bank", Id, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("detail", Json, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("at", UtcTime, nullable=False),
        sa.Column("closed_at", UtcTime),
    )
    op.create_index("ix_bank_break_state", "bank_break", ["tenant", "state", "at"])
    op.create_table(
        "bank_deed",
        _tenant(),
        sa.Column("id", Id, primary_key=True),
        sa.Column("at", UtcTime, nullable=False),
        sa.Column("actor", Id),
        sa.Column("actor_name", sa.String(64), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(96), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("detail", Json, nullable=False),
    )
    op.create_index("ix_bank_deed_subject", "bank_deed", ["tenant", "subject", "at"])
