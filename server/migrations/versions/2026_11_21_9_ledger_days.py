"""Closed days, outside references, limits of accounts, proofs of liabilities, reconciliation."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from server.kit.db import Id, Json, UtcTime
from server.ledger.book_guards import STATEMENTS

revision = "0009_ledger_days"
down_revision = "0008_sync"

_HASH = sa.LargeBinary(32)


def upgrade() -> None:
    op.add_column("leaf", sa.Column("blind", sa.LargeBinary))
    _ceiling()
    _days()
    _accounts()
    _liabilities()
    _reconciliation()
    connection = op.get_bind()
    for statement in STATEMENTS[connection.dialect.name]:
        connection.exec_driver_sql(statement)


def _ceiling() -> None:
    kind = "INTEGER" if op.get_bind().dialect.name == "sqlite" else "bigint"
    op.execute(
        f"ALTER TABLE account ADD COLUMN ceiling {kind} "
        "CONSTRAINT never_above_ceiling CHECK (ceiling IS NULL OR posted <= ceiling)"
    )


def _table(name: str, *columns: sa.Column[Any] | sa.CheckConstraint) -> None:
    tenant = sa.Column("tenant", sa.Integer, primary_key=True, autoincrement=False)
    # Replacing a row through a hidden row id would slip past the guards.
    op.create_table(name, tenant, *columns, sqlite_with_rowid=False)


def _key(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _some(name: str, kind: Any, *, empty: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=empty)


def _days() -> None:
    _table("day_cutoff", _key("day", sa.Integer), _some("at", UtcTime))
    _table(
        "closed_day",
        _key("day", sa.Integer),
        _some("accounts", sa.BigInteger),
        _some("postings", sa.BigInteger),
        _some("covered", sa.BigInteger),
        _some("seal", sa.BigInteger),
        _some("seal_hash", _HASH),
        _some("root", _HASH),
        _some("totals", _HASH),
        _some("previous", _HASH),
        _some("hash", _HASH),
        _some("at", UtcTime),
        _some("public_key", sa.LargeBinary, empty=True),
        _some("signature", sa.LargeBinary, empty=True),
        sa.CheckConstraint("(public_key IS NULL) = (signature IS NULL)", name="signature_with_key"),
    )
    _table(
        "day_balance",
        _key("account", Id),
        _key("day", sa.Integer),
        _some("postings", sa.BigInteger),
        _some("debits", sa.BigInteger),
        _some("credits", sa.BigInteger),
        _some("balance", sa.BigInteger),
    )
    op.create_index("ix_day_balance_day", "day_balance", ["tenant", "day", "account"])
    _table(
        "day_total",
        _key("day", sa.Integer),
        _key("asset", sa.Text),
        _key("kind", sa.Text),
        _some("accounts", sa.BigInteger),
        _some("debits", sa.BigInteger),
        _some("credits", sa.BigInteger),
        _some("balance", sa.BigInteger),
    )
    dated = sa.text("effective_at <> at")
    op.create_index(
        "ix_posting_dated",
        "posting",
        ["tenant", "account", "effective_at"],
        postgresql_where=dated,
        sqlite_where=dated,
    )
    op.create_index("ix_hold_debit", "hold", ["tenant", "debit", "at"])


def _accounts() -> None:
    _table(
        "external_reference",
        _key("account", Id),
        _key("external_id", sa.Text),
        _some("entry", Id),
    )
    _table(
        "account_limit",
        _key("account", Id),
        _key("number", sa.Integer),
        _some("floor", sa.BigInteger, empty=True),
        _some("ceiling", sa.BigInteger, empty=True),
        _some("reason", sa.Text),
        _some("set_by", sa.String(64)),
        _some("at", UtcTime),
    )
    _table(
        "account_note",
        _key("account", Id),
        _key("number", sa.Integer),
        _some("name", sa.String(64)),
        _some("value", Json, empty=True),
        _some("set_by", sa.String(64)),
        _some("at", UtcTime),
    )


def _liabilities() -> None:
    _table(
        "liability_round",
        _key("number", sa.BigInteger),
        _key("asset", sa.Text),
        _some("day", sa.Integer),
        _some("day_hash", _HASH),
        _some("leaves", sa.BigInteger),
        _some("total", sa.LargeBinary(16)),
        _some("root", _HASH),
        _some("below_zero", sa.BigInteger),
        _some("below_zero_sum", sa.BigInteger),
        _some("at", UtcTime),
        _some("public_key", sa.LargeBinary),
        _some("signature", sa.LargeBinary),
    )
    _table(
        "liability_leaf",
        _key("number", sa.BigInteger),
        _key("asset", sa.Text),
        _key("owner", Id),
        _some("place", sa.BigInteger),
        _some("balance", sa.BigInteger),
        _some("salt", _HASH),
    )
    _table(
        "liability_node",
        _key("number", sa.BigInteger),
        _key("asset", sa.Text),
        _key("level", sa.Integer),
        _key("place", sa.BigInteger),
        _some("total", sa.LargeBinary(16)),
        _some("hash", _HASH),
    )


def _reconciliation() -> None:
    _table(
        "outside_statement",
        _key("account", Id),
        _key("id", sa.String(128)),
        _some("fingerprint", _HASH),
        _some("first_day", sa.Integer),
        _some("last_day", sa.Integer),
        _some("lines", sa.Integer),
        _some("matched", sa.Integer),
        _some("closing_balance", sa.BigInteger, empty=True),
        _some("balance_here", sa.BigInteger),
        _some("compared_to", sa.BigInteger),
        _some("at", UtcTime),
    )
    _table(
        "outside_line",
        _key("account", Id),
        _key("statement", sa.String(128)),
        _key("number", sa.Integer),
        _some("external_id", sa.Text),
        _some("amount", sa.BigInteger),
        _some("currency", sa.String(10)),
        _some("day", sa.Integer),
        _some("text", sa.Text),
    )
    op.create_index("ix_outside_line_id", "outside_line", ["tenant", "account", "external_id"])
    _table(
        "reconciliation_break",
        _key("id", Id),
        _some("account", Id),
        _some("statement", sa.String(128)),
        _some("kind", sa.String(20)),
        _some("external_id", sa.Text, empty=True),
        _some("entry", Id, empty=True),
        _some("here", sa.BigInteger, empty=True),
        _some("there", sa.BigInteger, empty=True),
        _some("state", sa.String(9)),
        _some("at", UtcTime),
        sa.CheckConstraint("state IN ('open', 'explained', 'closed')", name="state"),
    )
    op.create_index("ix_reconciliation_break_state", "reconciliation_break", ["tenant", "state"])
    op.create_index(
        "ix_reconciliation_break_account", "reconciliation_break", ["tenant", "account", "entry"]
    )
    _table(
        "reconciliation_event",
        _key("subject", Id),
        _key("number", sa.Integer),
        _some("state", sa.String(9)),
        _some("reason", sa.Text),
        _some("set_by", sa.String(64)),
        _some("at", UtcTime),
    )
