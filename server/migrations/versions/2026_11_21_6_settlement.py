"""Settlement: policy, tiers, links, collateral, fund, disputes, audit, and the guarded books."""

import sqlalchemy as sa
from alembic import op

from server.kit.db import Id, Json, UtcTime
from server.offline.guards import BOOK_CLEARING, BOOK_FLOAT, STATEMENTS

revision = "0006_settlement"
down_revision = "0005_offline"

_ID = sa.LargeBinary(32)


def upgrade() -> None:
    _widen()
    _decisions()
    _money()
    _disputes()
    _books()


def _tenant() -> sa.Column[int]:
    return sa.Column("tenant", sa.Integer, primary_key=True, autoincrement=False)


def _widen() -> None:
    op.create_index("ix_offline_device_user", "offline_device", ["tenant", "user_id"])
    rules = {
        "offline_account": {
            "secured": "secured >= 0 AND secured <= recovered",
            "cushioned": "cushioned >= 0",
            "collateral": "collateral >= secured + cushioned",
            "written_off": "written_off >= 0",
        },
        "offline_position": {"promised": "promised >= 0 AND promised <= amount"},
    }
    for table, columns in rules.items():
        for column, rule in columns.items():
            op.execute(
                f"ALTER TABLE {table} ADD COLUMN {column} BIGINT DEFAULT 0 NOT NULL "
                f"CONSTRAINT ck_{table}_{column} CHECK ({rule})"
            )
    # What earlier settlements guaranteed: all that was not held, of closed vouchers up to the
    # instant limit.
    op.execute(
        "UPDATE offline_position SET promised = coalesce((SELECT CASE WHEN NOT v.closed "
        "THEN offline_position.amount - offline_position.held "
        "WHEN a.instant_limit < offline_position.amount THEN a.instant_limit "
        "ELSE offline_position.amount END "
        "FROM offline_voucher v JOIN offline_account a ON a.tenant = v.tenant "
        "AND a.currency = v.currency AND a.user_id = offline_position.account "
        "WHERE v.tenant = offline_position.tenant AND v.id = offline_position.root), 0) "
        "WHERE leg = 'credit'"
    )


def _decisions() -> None:
    op.create_table(
        "offline_audit",
        _tenant(),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", UtcTime, nullable=False),
        sa.Column("actor", Id),
        sa.Column("actor_name", sa.String(64), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(96), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("detail", Json, nullable=False),
    )
    op.create_index("ix_offline_audit_subject", "offline_audit", ["tenant", "subject", "seq"])
    op.create_table(
        "offline_policy",
        _tenant(),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("effective_at", UtcTime, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("changed_by", sa.String(64), nullable=False),
        sa.Column("changed_at", UtcTime, nullable=False),
    )
    op.create_table(
        "offline_tier",
        _tenant(),
        sa.Column("user_id", Id, primary_key=True),
        sa.Column("tier", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("set_by", sa.String(64), nullable=False),
        sa.Column("set_at", UtcTime, nullable=False),
    )
    op.create_table(
        "offline_link",
        _tenant(),
        sa.Column("id", Id, primary_key=True),
        sa.Column("first", Id, nullable=False),
        sa.Column("second", Id, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("linked_by", sa.String(64), nullable=False),
        sa.Column("linked_at", UtcTime, nullable=False),
        sa.Column("ended_by", sa.String(64)),
        sa.Column("end_reason", sa.Text),
        sa.Column("ended_at", UtcTime),
        sa.CheckConstraint("first <> second", name="two"),
    )
    for side in ("first", "second"):
        op.create_index(f"ix_offline_link_{side}", "offline_link", ["tenant", side])
    op.create_table(
        "offline_frozen_link",
        _tenant(),
        sa.Column("root", _ID, primary_key=True),
        sa.Column("link", Id, primary_key=True),
        sa.Column("first", Id, nullable=False),
        sa.Column("second", Id, nullable=False),
    )


def _money() -> None:
    op.create_table(
        "offline_pledge",
        _tenant(),
        sa.Column("voucher", _ID, primary_key=True),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("currency", sa.String(10), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.CheckConstraint("amount > 0", name="amount"),
    )
    op.create_index("ix_offline_pledge_user", "offline_pledge", ["tenant", "user_id", "currency"])
    op.create_table(
        "offline_fund_grant",
        _tenant(),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("currency", sa.String(10), nullable=False),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("at", UtcTime, nullable=False),
        sa.CheckConstraint("amount > 0", name="amount"),
    )
    op.create_index("ix_offline_fund_grant_at", "offline_fund_grant", ["tenant", "currency", "at"])


def _disputes() -> None:
    op.create_table(
        "offline_dispute",
        _tenant(),
        sa.Column("conflict", _ID, primary_key=True),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("statement", sa.Text, nullable=False),
        sa.Column("opened_at", UtcTime, nullable=False),
        sa.Column("parent", _ID, nullable=False),
        sa.Column("verdict", sa.String(10)),
        sa.Column("bearer", sa.String(10)),
        sa.Column("cause", sa.String(32)),
        sa.Column("reason", sa.Text),
        sa.Column("amount", sa.BigInteger),
        sa.Column("proposed_by", Id),
        sa.Column("proposed_at", UtcTime),
        sa.Column("decided_by", Id),
        sa.Column("decided_at", UtcTime),
    )
    op.create_index("ix_offline_dispute_state", "offline_dispute", ["tenant", "state", "opened_at"])


def _books() -> None:
    op.create_table(
        "offline_check",
        _tenant(),
        sa.Column("at", UtcTime, primary_key=True),
        sa.Column("sound", sa.Boolean, nullable=False),
        sa.Column("findings", Json, nullable=False),
    )
    figures = ("open_vouchers", "float_posted", "clearing", "zero")
    op.create_table(
        "offline_book",
        _tenant(),
        sa.Column("currency", sa.String(10), primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False, server_default="0") for name in figures),
        sa.CheckConstraint("zero = 0", name="zero"),
        sa.UniqueConstraint("tenant", "currency", "float_posted", name="uq_offline_book_float"),
        sa.UniqueConstraint("tenant", "currency", "zero", name="uq_offline_book_zero"),
        _agrees(BOOK_FLOAT, "open_vouchers", "float_posted"),
        _agrees(BOOK_CLEARING, "clearing", "zero"),
    )
    connection = op.get_bind()
    for statement in STATEMENTS[connection.dialect.name]:
        connection.exec_driver_sql(statement)


def _agrees(name: str, figure: str, other: str) -> sa.ForeignKeyConstraint:
    """Say that two figures of a row are equal whenever a transaction commits."""
    return sa.ForeignKeyConstraint(
        ["tenant", "currency", figure],
        ["offline_book.tenant", "offline_book.currency", f"offline_book.{other}"],
        name=name,
        deferrable=True,
        initially="DEFERRED",
    )
