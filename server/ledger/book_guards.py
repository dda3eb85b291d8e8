"""What the databases themselves guard about closed days, outside facts and limits of accounts.

* An entry that moves money or keeps it back never takes effect on a day that was cut off. On
  PostgreSQL that is a serialization failure, so that a command whose time was read before midnight
  runs again with a later one.
* An outside fact, named by ``external_id`` in the memo, is booked once on each mirror account.
* The floor of an account is its kind's, or what the newest row of ``account_limit`` says, and so is
  its ceiling; no entry takes a balance above it.
* What was closed, published, compared or decided stays.
"""

# ruff: noqa: S608 - statements are put together from the constants of this file alone.

MIRRORS = ("house_card_gateway", "bank_money")
"""Kinds of accounts that mirror what an outside party keeps for us."""
DAY_US = 86_400_000_000
"""Microseconds of a day."""
_KEYS = {
    "day_cutoff": ("day",),
    "closed_day": ("day",),
    "day_balance": ("account", "day"),
    "day_total": ("day", "asset", "kind"),
    "external_reference": ("account", "external_id"),
    "account_limit": ("account", "number"),
    "account_note": ("account", "number"),
    "liability_round": ("number", "asset"),
    "outside_statement": ("account", "id"),
    "outside_line": ("account", "statement", "number"),
    "reconciliation_event": ("subject", "number"),
}
"""Tables that only grow, and what names a row of a tenant there."""
_NUMBERED = {
    "account_limit": "account",
    "account_note": "account",
    "reconciliation_event": "subject",
}
_BREAK_STAYS = "tenant, id, account, statement, kind, external_id, entry, here, there, at"
_MIRROR_LIST = ", ".join(f"'{kind}'" for kind in MIRRORS)


def _trigger(name: str, event: str, *body: str, when: str = "") -> str:
    condition = f"WHEN {when}" if when else ""
    return f"CREATE TRIGGER {name} {event} {condition} BEGIN {'; '.join(body)}; END"


def _abort(reason: str, condition: str = "") -> str:
    where = f" WHERE {condition}" if condition else ""
    return f"SELECT RAISE(ABORT, 'ledger: {reason}'){where}"


def _exists(table: str, *key: str) -> str:
    match = " AND ".join(f"{column} = NEW.{column}" for column in ("tenant", *key))
    return f"EXISTS (SELECT 1 FROM {table} WHERE {match})"


_MIRROR = (
    "FROM account WHERE tenant = NEW.tenant AND id IN (NEW.debit, NEW.credit) "
    f"AND kind IN ({_MIRROR_LIST})"
)
# A text of PostgreSQL holds no zero character, and its JSON none that is to be read.
_OUTSIDE_ID = r"(replace(NEW.memo, '\u0000', '\ufffd')::json ->> 'external_id')"
_NEXT = "NEW.{0} <> coalesce((SELECT max({0}) FROM {1} WHERE tenant = NEW.tenant{2}) + 1, {3})"
_DAY_OPEN = (
    "NOT EXISTS (SELECT 1 FROM day_cutoff WHERE tenant = NEW.tenant AND day = NEW.day) "
    "OR EXISTS (SELECT 1 FROM closed_day WHERE tenant = NEW.tenant AND day >= NEW.day)"
)
_LIMITED = (
    "EXISTS (SELECT 1 FROM account_limit l WHERE l.tenant = NEW.tenant AND l.account = NEW.id "
    "AND l.floor IS NEW.floor AND l.ceiling IS NEW.ceiling AND l.number = (SELECT max(number) "
    "FROM account_limit WHERE tenant = NEW.tenant AND account = NEW.id))"
)

_SQLITE = (
    _trigger(
        "entry_after_cutoff",
        "BEFORE INSERT ON entry",
        _abort("the day is closed"),
        when="NEW.outcome = 'applied' AND NEW.effective_at < (SELECT max(day) + 1 FROM day_cutoff "
        f"WHERE tenant = NEW.tenant) * {DAY_US}",
    ),
    _trigger(
        "entry_mirrors",
        "AFTER INSERT ON entry",
        f"INSERT INTO external_reference SELECT tenant, id, "
        f"json_extract(NEW.memo, '$.external_id'), NEW.id {_MIRROR} "
        "AND json_extract(NEW.memo, '$.external_id') IS NOT NULL",
        when="""NEW.debit_version IS NOT NULL AND NEW.memo LIKE '%"external_id"%'""",
    ),
    _trigger(
        "external_reference_follows",
        "BEFORE INSERT ON external_reference",
        _abort(
            "an outside fact follows its entry: external_reference",
            "NOT EXISTS (SELECT 1 FROM entry e JOIN account a ON a.tenant = e.tenant "
            "AND a.id IN (e.debit, e.credit) WHERE e.tenant = NEW.tenant AND e.id = NEW.entry "
            f"AND a.id = NEW.account AND a.kind IN ({_MIRROR_LIST}) "
            "AND e.debit_version IS NOT NULL "
            "AND json_extract(e.memo, '$.external_id') = NEW.external_id)",
        ),
    ),
    _trigger(
        "day_cutoff_next",
        "BEFORE INSERT ON day_cutoff",
        _abort(
            "days are closed one after the other", _NEXT.format("day", "day_cutoff", "", "NEW.day")
        ),
    ),
    _trigger(
        "closed_day_next",
        "BEFORE INSERT ON closed_day",
        _abort(
            "days are closed one after the other",
            f"{_NEXT.format('day', 'closed_day', '', 'NEW.day')} OR {_DAY_OPEN}",
        ),
    ),
    *(
        _trigger(
            f"{table}_of_open_day",
            f"BEFORE INSERT ON {table}",
            _abort("the figures of a closed day stay", _DAY_OPEN),
        )
        for table in ("day_balance", "day_total")
    ),
    *(
        _trigger(
            f"{table}_next",
            f"BEFORE INSERT ON {table}",
            _abort(
                f"rows of {table} are numbered without a gap",
                _NEXT.format("number", table, f" AND {owner} = NEW.{owner}", "1"),
            ),
        )
        for table, owner in _NUMBERED.items()
    ),
    _trigger(
        "account_limit_holds",
        "AFTER INSERT ON account_limit",
        _abort(
            "never_below_floor: a limit fits its account",
            "NOT EXISTS (SELECT 1 FROM account WHERE tenant = NEW.tenant AND id = NEW.account "
            "AND (NEW.floor IS NULL OR posted - held >= NEW.floor) "
            "AND (NEW.ceiling IS NULL OR posted <= NEW.ceiling))",
        ),
        "UPDATE account SET floor = NEW.floor, ceiling = NEW.ceiling "
        "WHERE tenant = NEW.tenant AND id = NEW.account",
    ),
    "DROP TRIGGER account_stays",
    _trigger(
        "account_stays",
        "BEFORE UPDATE OF tenant, id, kind, asset, owner, opened_at ON account",
        _abort("an account stays what it is"),
    ),
    _trigger(
        "account_floor_follows",
        "BEFORE UPDATE OF floor, ceiling ON account",
        _abort("a floor follows its limits", f"NOT {_LIMITED}"),
    ),
    _trigger(
        "account_opens_unlimited",
        "BEFORE INSERT ON account",
        _abort("a ceiling follows its limits"),
        when="NEW.ceiling IS NOT NULL",
    ),
    _trigger(
        "entry_below_ceiling",
        "BEFORE INSERT ON entry",
        _abort(
            "never_above_ceiling: the balance would become too high",
            "EXISTS (SELECT 1 FROM account WHERE tenant = NEW.tenant AND id = NEW.credit "
            "AND posted + NEW.amount > ceiling)",
        ),
        when="NEW.credit_version IS NOT NULL",
    ),
    *(
        _trigger(f"{table}_stays", f"BEFORE UPDATE ON {table}", _abort(f"{table} only grows"))
        for table in _KEYS
    ),
    *(
        _trigger(f"{table}_is_kept", f"BEFORE DELETE ON {table}", _abort(f"{table} only grows"))
        for table in (*_KEYS, "reconciliation_break")
    ),
    *(
        _trigger(
            f"{table}_is_new",
            f"BEFORE INSERT ON {table}",
            _abort(f"this row of {table} exists", _exists(table, *key)),
        )
        for table, key in (*_KEYS.items(), ("reconciliation_break", ("id",)))
    ),
    _trigger(
        "reconciliation_break_stays",
        f"BEFORE UPDATE OF {_BREAK_STAYS} ON reconciliation_break",
        _abort("a break stays what it is"),
    ),
)


def _function(name: str, body: str, declare: str = "") -> str:
    return f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ {declare} {body} $$"


def _raise(reason: str, state: str = "integrity_constraint_violation") -> str:
    return f"RAISE EXCEPTION 'ledger: {reason}' USING ERRCODE = '{state}';"


def _row_check(name: str, table: str, reason: str, condition: str) -> tuple[str, str]:
    body = f"BEGIN IF {condition} THEN {_raise(reason)} END IF; RETURN NEW; END"
    return (
        _function(name, body),
        f"CREATE TRIGGER {name} BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()",
    )


_POSTGRESQL = (
    # Run as a statement of its own after the rows are in: it sees each cutoff that was committed
    # before, and a cutoff that comes later waits for this transaction (see `day_closing`).
    _function(
        "ledger_after_cutoff",
        f"""
        BEGIN
          IF EXISTS (
            SELECT FROM (SELECT tenant, min(effective_at) AS first_at FROM fresh
              WHERE outcome = 'applied' GROUP BY tenant) f
            WHERE f.first_at < ((SELECT max(c.day) FROM day_cutoff c WHERE c.tenant = f.tenant)
              + 1)::bigint * {DAY_US}
          ) THEN {_raise("the day is closed", "serialization_failure")}
          END IF;
          RETURN NULL;
        END
        """,
    ),
    """
    CREATE TRIGGER ledger_after_cutoff AFTER INSERT ON entry REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_after_cutoff()
    """,
    _function(
        "ledger_mirrors",
        f"""
        BEGIN
          INSERT INTO external_reference (tenant, account, external_id, entry)
          SELECT tenant, id, {_OUTSIDE_ID}, NEW.id {_MIRROR} AND {_OUTSIDE_ID} IS NOT NULL;
          RETURN NULL;
        END
        """,
    ),
    """
    CREATE TRIGGER ledger_mirrors AFTER INSERT ON entry FOR EACH ROW
    WHEN (NEW.debit_version IS NOT NULL AND NEW.memo LIKE '%"external_id"%')
    EXECUTE FUNCTION ledger_mirrors()
    """,
    """
    CREATE TRIGGER external_reference_follows BEFORE INSERT ON external_reference
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0)
    EXECUTE FUNCTION ledger_refuse('it follows entries')
    """,
    *_row_check(
        "day_cutoff_next",
        "day_cutoff",
        "days are closed one after the other",
        _NEXT.format("day", "day_cutoff", "", "NEW.day"),
    ),
    *_row_check(
        "closed_day_next",
        "closed_day",
        "days are closed one after the other",
        f"{_NEXT.format('day', 'closed_day', '', 'NEW.day')} OR {_DAY_OPEN}",
    ),
    *(
        part
        for table in ("day_balance", "day_total")
        for part in _row_check(
            f"{table}_of_open_day", table, "the figures of a closed day stay", _DAY_OPEN
        )
    ),
    *(
        part
        for table, owner in _NUMBERED.items()
        for part in _row_check(
            f"{table}_next",
            table,
            f"rows of {table} are numbered without a gap",
            _NEXT.format("number", table, f" AND {owner} = NEW.{owner}", "1"),
        )
    ),
    _function(
        "account_limit_holds",
        f"""
        BEGIN
          UPDATE account SET floor = NEW.floor, ceiling = NEW.ceiling
            WHERE tenant = NEW.tenant AND id = NEW.account;
          IF NOT FOUND THEN {_raise("a limit is for an account that is there")}
          END IF;
          RETURN NULL;
        END
        """,
    ),
    """
    CREATE TRIGGER account_limit_holds AFTER INSERT ON account_limit
    FOR EACH ROW EXECUTE FUNCTION account_limit_holds()
    """,
    """
    CREATE TRIGGER account_ceiling_follows BEFORE UPDATE OF ceiling ON account
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0)
    EXECUTE FUNCTION ledger_refuse('it follows its limits')
    """,
    """
    CREATE TRIGGER account_opens_unlimited BEFORE INSERT ON account
    FOR EACH ROW WHEN (NEW.ceiling IS NOT NULL)
    EXECUTE FUNCTION ledger_refuse('it follows its limits')
    """,
    *(
        f"CREATE TRIGGER {table}_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse('it only grows')"
        for table in _KEYS
    ),
    *(
        f"CREATE TRIGGER reconciliation_break_{name} BEFORE {event} ON reconciliation_break "
        "FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse('breaks stay')"
        for name, event in (
            ("is_kept", "DELETE OR TRUNCATE"),
            ("stays", f"UPDATE OF {_BREAK_STAYS}"),
        )
    ),
)

STATEMENTS = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}
