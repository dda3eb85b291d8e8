"""Rates, quotes, limits by level, and rules in versions."""

import sqlalchemy as sa
from alembic import op

from server.kit.db import Id, UtcTime

revision = "0012_fx"
down_revision = "0011_transfers"

_KEPT = ("rule_document", "user_level", "fx_rate")
"""Tables that only grow."""
_QUOTE_STAYS = (
    "tenant",
    "id",
    "user_id",
    "payee_id",
    "sell_currency",
    "buy_currency",
    "sell_amount",
    "buy_amount",
    "charge_amount",
    "spread_amount",
    "sell_rate",
    "buy_rate",
    "rate_date",
    "rate_source",
    "spread_bps",
    "charge_bps",
    "payer_country",
    "payee_country",
    "created_at",
    "expires_at",
)


_SETTLED = (
    "OLD.voided_at IS NOT NULL OR (OLD.taken_at IS NOT NULL "
    "AND (NEW.voided_at IS NULL OR NEW.taken_at IS NULL OR NEW.taken_at <> OLD.taken_at))"
)
"""Nothing changes any more, but that what was taken may be voided."""


def upgrade() -> None:
    _documents()
    _limits()
    _rates()
    _quotes()
    guards = {"postgresql": _guard_postgresql, "sqlite": _guard_sqlite}
    for statement in guards[op.get_bind().dialect.name]():
        op.get_bind().exec_driver_sql(statement)


def _tenant() -> sa.Column[int]:
    return sa.Column("tenant", sa.Integer, primary_key=True, autoincrement=False)


def _documents() -> None:
    op.create_table(
        "rule_document",
        _tenant(),
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("effective_at", UtcTime, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("changed_by", sa.String(64), nullable=False),
        sa.Column("changed_at", UtcTime, nullable=False),
    )


def _limits() -> None:
    op.create_table(
        "limit_used",
        _tenant(),
        sa.Column("user_id", Id, primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("unit", sa.String(11), primary_key=True),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("day_used", sa.BigInteger, nullable=False),
        sa.Column("month", sa.Integer, nullable=False),
        sa.Column("month_used", sa.BigInteger, nullable=False),
        sa.CheckConstraint("day_used >= 0", name="day_used"),
        sa.CheckConstraint("month_used >= 0", name="month_used"),
        # Rows are changed over and over: with room on the page, no index has to know of it.
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "user_level",
        _tenant(),
        sa.Column("user_id", Id, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("set_by", sa.String(64), nullable=False),
        sa.Column("set_at", UtcTime, nullable=False),
        sa.CheckConstraint("level BETWEEN 0 AND 3", name="level"),
    )


def _rates() -> None:
    op.create_table(
        "fx_rate",
        _tenant(),
        sa.Column("currency", sa.String(10), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("rate_date", sa.Date, nullable=False),
        sa.Column("rate", sa.String(24), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("set_by", sa.String(64)),
        sa.Column("reason", sa.Text),
        sa.Column("stored_at", UtcTime, nullable=False),
    )
    op.create_index("ix_fx_rate_newest", "fx_rate", ["tenant", "currency", "rate_date", "number"])


def _quotes() -> None:
    op.create_table(
        "fx_quote",
        _tenant(),
        sa.Column("id", Id, primary_key=True),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("payee_id", Id),
        sa.Column("sell_currency", sa.String(10), nullable=False),
        sa.Column("buy_currency", sa.String(10), nullable=False),
        *(
            sa.Column(f"{name}_amount", sa.BigInteger, nullable=False)
            for name in ("sell", "buy", "charge", "spread")
        ),
        sa.Column("sell_rate", sa.String(24), nullable=False),
        sa.Column("buy_rate", sa.String(24), nullable=False),
        sa.Column("rate_date", sa.Date, nullable=False),
        sa.Column("rate_source", sa.String(16), nullable=False),
        sa.Column("spread_bps", sa.Integer, nullable=False),
        sa.Column("charge_bps", sa.Integer, nullable=False),
        sa.Column("payer_country", sa.String(2)),
        sa.Column("payee_country", sa.String(2)),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("expires_at", UtcTime, nullable=False),
        sa.Column("taken_at", UtcTime),
        sa.Column("voided_at", UtcTime),
        sa.CheckConstraint("sell_amount > 0 AND buy_amount > 0", name="amounts"),
        sa.CheckConstraint("charge_amount >= 0 AND charge_amount < sell_amount", name="charge"),
        sa.CheckConstraint("spread_amount >= 0", name="spread"),
        sa.CheckConstraint("sell_currency <> buy_currency", name="two"),
        sa.CheckConstraint("taken_at IS NULL OR taken_at < expires_at", name="in_time"),
        sa.CheckConstraint("voided_at IS NULL OR taken_at IS NOT NULL", name="voided"),
    )
    op.create_index("ix_fx_quote_taken", "fx_quote", ["tenant", "taken_at"])
    op.create_index("ix_fx_quote_expires_at", "fx_quote", ["expires_at"])


def _guard_postgresql() -> list[str]:
    same = " AND ".join(f"NEW.{name} IS NOT DISTINCT FROM OLD.{name}" for name in _QUOTE_STAYS)
    return [
        # The inner query goes by the key of each counter, in the order in which users are named,
        # whatever the planner thinks of the table.
        """
        CREATE FUNCTION limit_lock(of_tenant integer, of_kind text, of_unit text, users uuid[])
        RETURNS SETOF limit_used LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
        BEGIN
          RETURN QUERY SELECT found.* FROM unnest(users) AS wanted (u)
            CROSS JOIN LATERAL (
              SELECT * FROM limit_used l
              WHERE l.tenant = of_tenant AND l.user_id = u AND l.kind = of_kind
                AND l.unit = of_unit
              FOR UPDATE
            ) AS found;
        END $$
        """,
        """
        CREATE FUNCTION user_levels(of_tenant integer, users uuid[])
        RETURNS TABLE (user_id uuid, level integer)
        LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$
        BEGIN
          RETURN QUERY SELECT found.user_id, found.level FROM unnest(users) AS wanted (u)
            CROSS JOIN LATERAL (
              SELECT l.user_id, l.level FROM user_level l
              WHERE l.tenant = of_tenant AND l.user_id = u ORDER BY l.version DESC LIMIT 1
            ) AS found;
        END $$
        """,
        """
        CREATE FUNCTION kept_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          RAISE EXCEPTION '% of % is refused: its rows are kept as they are', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'integrity_constraint_violation';
        END $$
        """,
        *(
            f"CREATE TRIGGER {table}_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION kept_refuse()"
            for table in _KEPT
        ),
        f"""
        CREATE TRIGGER fx_quote_stays BEFORE UPDATE ON fx_quote FOR EACH ROW
        WHEN ({_SETTLED} OR NOT ({same})) EXECUTE FUNCTION kept_refuse()
        """,
        """
        CREATE TRIGGER fx_quote_is_kept BEFORE DELETE ON fx_quote FOR EACH ROW
        WHEN (OLD.taken_at IS NOT NULL) EXECUTE FUNCTION kept_refuse()
        """,
        """
        CREATE TRIGGER fx_quote_is_not_emptied BEFORE TRUNCATE ON fx_quote
        FOR EACH STATEMENT EXECUTE FUNCTION kept_refuse()
        """,
    ]


def _guard_sqlite() -> list[str]:
    keys = {
        "rule_document": ("tenant", "name", "version"),
        "user_level": ("tenant", "user_id", "version"),
        "fx_rate": ("tenant", "currency", "number"),
        "fx_quote": ("tenant", "id"),
    }
    same = " AND ".join(f"NEW.{name} IS OLD.{name}" for name in _QUOTE_STAYS)
    return [
        *(
            _sqlite_trigger(f"{table}_stays", f"BEFORE UPDATE ON {table}", "rows are kept")
            for table in _KEPT
        ),
        *(
            _sqlite_trigger(f"{table}_is_kept", f"BEFORE DELETE ON {table}", "rows are kept")
            for table in _KEPT
        ),
        *(
            # INSERT OR REPLACE would delete without asking a delete trigger.
            _sqlite_trigger(
                f"{table}_is_new",
                f"BEFORE INSERT ON {table}",
                "this row exists",
                f"EXISTS (SELECT 1 FROM {table} WHERE "  # noqa: S608 - constants of this file
                + " AND ".join(f"{name} = NEW.{name}" for name in key)
                + ")",
            )
            for table, key in keys.items()
        ),
        _sqlite_trigger(
            "fx_quote_stays",
            "BEFORE UPDATE ON fx_quote",
            "a quote stays what it is",
            f"{_SETTLED} OR NOT ({same})",
        ),
        _sqlite_trigger(
            "fx_quote_is_kept",
            "BEFORE DELETE ON fx_quote",
            "a quote that was taken is kept",
            "OLD.taken_at IS NOT NULL",
        ),
    ]


def _sqlite_trigger(name: str, event: str, reason: str, condition: str = "1") -> str:
    return (
        f"CREATE TRIGGER {name} {event} WHEN {condition} BEGIN SELECT RAISE(ABORT, '{reason}'); END"
    )
