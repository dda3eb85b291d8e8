"""What the database itself refuses in this room, on both databases.

``offline_book`` has one row for each tenant and currency. Triggers write into it what open vouchers
still back, and what the ledger's float and clearing accounts stand at; two foreign keys of the row
to itself, checked when a transaction commits, say that the first two are equal and that the third
is zero. So nobody commits a voucher without its backing, a payout that backs nothing, or a
settlement whose sources and credits differ.

Besides, vouchers stay and keep what they were issued with, and what people decided is kept.

The rows of ``offline_book`` stay, and on PostgreSQL only the triggers write their figures. SQLite
cannot tell who writes; and its foreign keys count on connections that ask for them, as the server's
do. What somebody writes into the file without them, or into the figures themselves, is found by
the report.
"""

# ruff: noqa: S608 - statements are put together from the constants of this file alone.

BOOK_FLOAT, BOOK_CLEARING = "fk_offline_book_float", "fk_offline_book_clearing"
_APPEND_ONLY = {
    "offline_audit": ("seq",),
    "offline_policy": ("version",),
    "offline_fund_grant": ("seq",),
    "offline_frozen_link": ("root", "link"),
    "offline_pledge": ("voucher",),
}
"""Tables that only grow, and what names a row of a tenant there."""
_VOUCHER_STAYS = "tenant, id, user_id, holder, currency, value, claim_by, envelope"
_MIRRORED = {"house_offline_float": "float_posted", "house_offline_clearing": "clearing"}
_BACKFILL = (
    """
    INSERT INTO offline_book (tenant, currency, open_vouchers)
    SELECT tenant, currency, sum(unpaid) FROM offline_voucher GROUP BY tenant, currency
    """,
    *(
        f"UPDATE offline_book SET {column} = coalesce((SELECT posted FROM account a "
        f"WHERE a.tenant = offline_book.tenant AND a.asset = offline_book.currency "
        f"AND a.kind = '{kind}'), 0)"
        for kind, column in _MIRRORED.items()
    ),
)


def _sqlite_trigger(name: str, event: str, *body: str, when: str = "") -> str:
    condition = f"WHEN {when}" if when else ""
    return f"CREATE TRIGGER {name} {event} {condition} BEGIN {'; '.join(body)}; END"


def _abort(reason: str, condition: str = "") -> str:
    where = f" WHERE {condition}" if condition else ""
    return f"SELECT RAISE(ABORT, 'offline: {reason}'){where}"


_SQLITE = (
    _sqlite_trigger(
        "offline_voucher_opens",
        "AFTER INSERT ON offline_voucher",
        "INSERT INTO offline_book (tenant, currency, open_vouchers) "
        "VALUES (NEW.tenant, NEW.currency, NEW.unpaid) ON CONFLICT (tenant, currency) "
        "DO UPDATE SET open_vouchers = open_vouchers + excluded.open_vouchers",
    ),
    _sqlite_trigger(
        "offline_voucher_is_paid",
        "AFTER UPDATE OF unpaid ON offline_voucher",
        "UPDATE offline_book SET open_vouchers = open_vouchers + NEW.unpaid - OLD.unpaid "
        "WHERE tenant = NEW.tenant AND currency = NEW.currency",
        when="NEW.unpaid <> OLD.unpaid",
    ),
    *(
        _sqlite_trigger(
            f"offline_book_{column}",
            "AFTER UPDATE OF posted ON account",
            f"INSERT INTO offline_book (tenant, currency, {column}) "
            "VALUES (NEW.tenant, NEW.asset, NEW.posted) ON CONFLICT (tenant, currency) "
            f"DO UPDATE SET {column} = excluded.{column}",
            when=f"NEW.kind = '{kind}' AND NEW.posted <> OLD.posted",
        )
        for kind, column in _MIRRORED.items()
    ),
    _sqlite_trigger(
        "offline_voucher_stays",
        f"BEFORE UPDATE OF {_VOUCHER_STAYS} ON offline_voucher",
        _abort("a voucher stays what it is"),
    ),
    _sqlite_trigger(
        "offline_voucher_is_kept", "BEFORE DELETE ON offline_voucher", _abort("vouchers stay")
    ),
    _sqlite_trigger(
        "offline_voucher_is_new",
        "BEFORE INSERT ON offline_voucher",
        # INSERT OR REPLACE would delete without asking a delete trigger.
        _abort(
            "this voucher exists",
            "EXISTS (SELECT 1 FROM offline_voucher WHERE tenant = NEW.tenant AND id = NEW.id)",
        ),
    ),
    *(
        _sqlite_trigger(f"{table}_stays", f"BEFORE UPDATE ON {table}", _abort("append-only"))
        for table in _APPEND_ONLY
    ),
    *(
        _sqlite_trigger(f"{table}_is_kept", f"BEFORE DELETE ON {table}", _abort("append-only"))
        for table in _APPEND_ONLY
    ),
    *(
        _sqlite_trigger(
            f"{table}_is_new",
            f"BEFORE INSERT ON {table}",
            _abort(
                "this row exists",
                f"EXISTS (SELECT 1 FROM {table} WHERE tenant = NEW.tenant AND "
                + " AND ".join(f"{column} = NEW.{column}" for column in key)
                + ")",
            ),
        )
        for table, key in _APPEND_ONLY.items()
    ),
    _sqlite_trigger(
        "offline_book_stays",
        "BEFORE UPDATE OF tenant, currency, zero ON offline_book",
        _abort("the book stays"),
    ),
    _sqlite_trigger(
        "offline_book_is_kept", "BEFORE DELETE ON offline_book", _abort("the book stays")
    ),
)

_POSTGRESQL = (
    """
    CREATE FUNCTION offline_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'offline: % of % is refused: %', TG_OP, TG_TABLE_NAME, TG_ARGV[0]
        USING ERRCODE = 'integrity_constraint_violation';
    END $$
    """,
    """
    CREATE FUNCTION offline_vouchers_open() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO offline_book (tenant, currency, open_vouchers)
      SELECT tenant, currency, sum(unpaid) FROM fresh GROUP BY tenant, currency
      ORDER BY tenant, currency
      ON CONFLICT (tenant, currency)
      DO UPDATE SET open_vouchers = offline_book.open_vouchers + excluded.open_vouchers;
      RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION offline_vouchers_are_paid() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      UPDATE offline_book b SET open_vouchers = b.open_vouchers + c.change
      FROM (
        SELECT tenant, currency, sum(amount)::bigint AS change FROM (
          SELECT tenant, currency, unpaid AS amount FROM fresh
          UNION ALL
          SELECT tenant, currency, -unpaid FROM stale
        ) both_sides GROUP BY tenant, currency HAVING sum(amount) <> 0
      ) c
      WHERE b.tenant = c.tenant AND b.currency = c.currency;
      RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION offline_book_follows() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF TG_ARGV[0] = 'clearing' THEN
        INSERT INTO offline_book (tenant, currency, clearing)
        VALUES (NEW.tenant, NEW.asset, NEW.posted)
        ON CONFLICT (tenant, currency) DO UPDATE SET clearing = excluded.clearing;
      ELSE
        INSERT INTO offline_book (tenant, currency, float_posted)
        VALUES (NEW.tenant, NEW.asset, NEW.posted)
        ON CONFLICT (tenant, currency) DO UPDATE SET float_posted = excluded.float_posted;
      END IF;
      RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER offline_voucher_opens AFTER INSERT ON offline_voucher
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION offline_vouchers_open()
    """,
    """
    CREATE TRIGGER offline_voucher_is_paid AFTER UPDATE ON offline_voucher
    REFERENCING NEW TABLE AS fresh OLD TABLE AS stale
    FOR EACH STATEMENT EXECUTE FUNCTION offline_vouchers_are_paid()
    """,
    *(
        f"""
        CREATE TRIGGER offline_book_{column} AFTER UPDATE OF posted ON account
        FOR EACH ROW WHEN (NEW.kind = '{kind}' AND NEW.posted <> OLD.posted)
        EXECUTE FUNCTION offline_book_follows('{column}')
        """
        for kind, column in _MIRRORED.items()
    ),
    """
    CREATE FUNCTION offline_book_is_followed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF TG_OP IN ('DELETE', 'TRUNCATE') OR pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION 'offline: % of offline_book is refused: it follows vouchers and accounts',
          TG_OP USING ERRCODE = 'integrity_constraint_violation';
      END IF;
      RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER offline_book_is_followed
    BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON offline_book
    FOR EACH STATEMENT EXECUTE FUNCTION offline_book_is_followed()
    """,
    f"""
    CREATE TRIGGER offline_voucher_stays BEFORE UPDATE OF {_VOUCHER_STAYS} ON offline_voucher
    FOR EACH STATEMENT EXECUTE FUNCTION offline_refuse('a voucher stays what it is')
    """,
    """
    CREATE TRIGGER offline_voucher_is_kept BEFORE DELETE OR TRUNCATE ON offline_voucher
    FOR EACH STATEMENT EXECUTE FUNCTION offline_refuse('vouchers stay')
    """,
    *(
        f"""
        CREATE TRIGGER {table}_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
        FOR EACH STATEMENT EXECUTE FUNCTION offline_refuse('append-only')
        """
        for table in _APPEND_ONLY
    ),
)

STATEMENTS = {
    "sqlite": (*_BACKFILL, *_SQLITE),
    "postgresql": (*_BACKFILL, *_POSTGRESQL),
}
