"""What protects the ledger's tables on SQLite from every statement.

As on PostgreSQL only entries are written from outside, and triggers on them do the rest. SQLite
cannot tell a trigger's statement from one that came from outside, so here each table that follows
entries refuses every row that does not agree with them.

``INSERT OR REPLACE`` deletes without firing delete triggers, so inserts look for the row
that they would replace. The ``OR IGNORE`` or ``OR FAIL`` of a statement also rules its triggers
and would let a failed CHECK pass half-way, so triggers test first and abort by themselves.
"""

# ruff: noqa: S608 - statements are put together from the constants of this file alone.


def _trigger(name: str, event: str, *body: str, when: str = "") -> str:
    condition = f"WHEN {when}" if when else ""
    return f"CREATE TRIGGER {name} {event} {condition} BEGIN {'; '.join(body)}; END"


def _abort(reason: str, condition: str = "") -> str:
    where = f" WHERE {condition}" if condition else ""
    return f"SELECT RAISE(ABORT, 'ledger: {reason}'){where}"


def _account(leg: str, more: str = "") -> str:
    return f"SELECT 1 FROM account WHERE tenant = NEW.tenant AND id = NEW.{leg} {more}"


def _usable(leg: str, version: str = "") -> str:
    return _account(leg, f"AND asset = NEW.asset AND closed_at IS NULL AND at <= NEW.at {version}")


_FUNDED = "AND (floor IS NULL OR posted - held - NEW.amount >= floor)"
_RANGE = 2**62
_MOVED = "UPDATE account SET version = version + 1, at = NEW.at,"
_ITS_ROW = "WHERE tenant = NEW.tenant AND id ="


def _move(*, funded: str, unheld: str) -> tuple[str, ...]:
    """Return what writes both postings of an entry and moves both balances."""
    debit = f"AND version = NEW.debit_version - 1 AND posted - NEW.amount >= -{_RANGE} {funded}"
    credit = f"AND version = NEW.credit_version - 1 AND posted + NEW.amount <= {_RANGE}"
    return (
        _abort(
            "postings do not follow their account: its asset, next version, last time or floor",
            f"NOT EXISTS ({_usable('debit', debit)}) OR NOT EXISTS ({_usable('credit', credit)})",
        ),
        *(
            f"INSERT INTO posting SELECT tenant, id, version + 1, NEW.id, '{leg}', {delta}, "
            f"posted + {delta}, NEW.at, NEW.effective_at "
            f"FROM account WHERE tenant = NEW.tenant AND id = NEW.{leg}"
            for leg, delta in (("debit", "-NEW.amount"), ("credit", "NEW.amount"))
        ),
        f"{_MOVED} posted = posted - NEW.amount{unheld} {_ITS_ROW} NEW.debit",
        f"{_MOVED} posted = posted + NEW.amount {_ITS_ROW} NEW.credit",
    )


_THE_HOLD = (
    "SELECT 1 FROM hold WHERE tenant = NEW.tenant AND id = NEW.hold AND state = 'open' "
    "AND debit = NEW.debit AND credit = NEW.credit"
)
_SUM_CAPTURED = (
    "(SELECT coalesce(sum(amount), 0) FROM entry WHERE tenant = NEW.tenant AND hold = NEW.id "
    "AND operation = 'capture' AND outcome = 'applied')"
)
_SUM_HELD = (
    "(SELECT coalesce(sum(amount - taken), 0) FROM hold "
    "WHERE tenant = NEW.tenant AND debit = NEW.id AND state = 'open')"
)
_STATE = (
    "coalesce((SELECT CASE operation WHEN 'expire' THEN 'expired' ELSE 'released' END FROM entry "
    "WHERE tenant = NEW.tenant AND hold = NEW.id AND outcome = 'applied' "
    "AND operation IN ('release', 'expire')), "
    "CASE WHEN NEW.taken = NEW.amount THEN 'captured' ELSE 'open' END)"
)

_POSTING = (
    _trigger(
        "entry_posts",
        "AFTER INSERT ON entry",
        *_move(funded=_FUNDED, unheld=""),
        when="NEW.operation = 'post' AND NEW.outcome = 'applied'",
    ),
    _trigger(
        "entry_captures",
        "AFTER INSERT ON entry",
        _abort(
            "the hold does not allow this capture",
            f"NOT EXISTS ({_THE_HOLD} AND amount - taken >= NEW.amount "
            "AND (expires_at IS NULL OR expires_at > NEW.at))",
        ),
        "UPDATE hold SET taken = taken + NEW.amount, "
        "state = CASE WHEN taken + NEW.amount = amount THEN 'captured' ELSE 'open' END "
        "WHERE tenant = NEW.tenant AND id = NEW.hold",
        *_move(funded="", unheld=", held = held - NEW.amount"),
        when="NEW.operation = 'capture' AND NEW.outcome = 'applied'",
    ),
    _trigger(
        "entry_holds",
        "AFTER INSERT ON entry",
        _abort(
            "a hold does not follow its account: its asset, last time or floor",
            f"NOT EXISTS ({_usable('debit', _FUNDED)})",
        ),
        "INSERT INTO hold VALUES (NEW.tenant, NEW.id, NEW.debit, NEW.credit, NEW.amount, 0, "
        "'open', NEW.expires_at, NEW.at)",
        "UPDATE account SET held = held + NEW.amount, at = NEW.at "
        "WHERE tenant = NEW.tenant AND id = NEW.debit",
        when="NEW.operation = 'hold' AND NEW.outcome = 'applied'",
    ),
    _trigger(
        "entry_gives_back",
        "AFTER INSERT ON entry",
        _abort(
            "the hold does not allow this",
            f"NOT EXISTS ({_THE_HOLD} AND amount - taken = NEW.amount "
            "AND (NEW.operation = 'release' OR expires_at <= NEW.at)) "
            f"OR NOT EXISTS ({_usable('debit')})",
        ),
        "UPDATE hold SET "
        "state = CASE NEW.operation WHEN 'expire' THEN 'expired' ELSE 'released' END "
        "WHERE tenant = NEW.tenant AND id = NEW.hold",
        "UPDATE account SET held = held - NEW.amount, at = NEW.at "
        "WHERE tenant = NEW.tenant AND id = NEW.debit",
        when="NEW.operation IN ('release', 'expire') AND NEW.outcome = 'applied'",
    ),
    _trigger(
        "entry_awaits_sealing",
        "AFTER INSERT ON entry",
        "INSERT INTO unsealed VALUES (NEW.tenant, NEW.at, NEW.id)",
    ),
)


def _same_row(table: str, *key: str) -> str:
    match = " AND ".join(f"{column} = NEW.{column}" for column in key)
    return f"EXISTS (SELECT 1 FROM {table} WHERE {match})"


_KEYS = {
    "asset": ("code",),
    "account": ("tenant", "id"),
    "entry": ("tenant", "id"),
    "seal": ("tenant", "number"),
}
_APPEND_ONLY = ("asset", "entry", "posting", "leaf", "seal")

_PROTECTION = (
    *(
        _trigger(f"{table}_stays", f"BEFORE UPDATE ON {table}", _abort(f"{table} is append-only"))
        for table in _APPEND_ONLY
    ),
    *(
        _trigger(f"{table}_is_kept", f"BEFORE DELETE ON {table}", _abort("rows stay for ever"))
        for table in (*_APPEND_ONLY, "account", "hold")
    ),
    *(
        _trigger(
            f"{table}_is_new",
            f"BEFORE INSERT ON {table}",
            _abort(f"this {table} exists", _same_row(table, *key)),
        )
        for table, key in _KEYS.items()
    ),
    _trigger(
        "leaf_is_new",
        "BEFORE INSERT ON leaf",
        _abort(
            "this leaf exists",
            f"{_same_row('leaf', 'tenant', 'position')} OR {_same_row('leaf', 'tenant', 'entry')}",
        ),
    ),
    _trigger(
        "posting_follows",
        "BEFORE INSERT ON posting",
        _abort(
            "a posting follows its entry, once",
            "NOT EXISTS (SELECT 1 FROM entry WHERE tenant = NEW.tenant AND id = NEW.entry "
            "AND ((debit = NEW.account AND debit_version = NEW.version AND NEW.delta = -amount) "
            "OR (credit = NEW.account AND credit_version = NEW.version AND NEW.delta = amount))) "
            f"OR {_same_row('posting', 'tenant', 'account', 'version')}",
        ),
    ),
    _trigger(
        "hold_follows",
        "BEFORE INSERT ON hold",
        _abort(
            "a hold follows its entry, once",
            "NOT EXISTS (SELECT 1 FROM entry WHERE tenant = NEW.tenant AND id = NEW.id "
            "AND operation = 'hold' AND outcome = 'applied') "
            f"OR {_same_row('hold', 'tenant', 'id')}",
        ),
    ),
    _trigger(
        "hold_follows_too",
        "BEFORE UPDATE ON hold",
        _abort(
            "a hold follows its entries",
            f"NEW.taken <> {_SUM_CAPTURED} OR NEW.state <> {_STATE} "
            + " ".join(
                f"OR NEW.{column} IS NOT OLD.{column}"
                for column in ("tenant", "id", "debit", "credit", "amount", "expires_at", "at")
            ),
        ),
    ),
    _trigger(
        "account_opens_empty",
        "BEFORE INSERT ON account",
        _abort("accounts open empty"),
        when="NEW.posted <> 0 OR NEW.held <> 0 OR NEW.version <> 0 OR NEW.closed_at IS NOT NULL",
    ),
    _trigger(
        "account_stays",
        "BEFORE UPDATE OF tenant, id, kind, asset, owner, floor, opened_at ON account",
        _abort("an account stays what it is"),
    ),
    _trigger(
        "account_follows",
        "BEFORE UPDATE OF posted, version ON account",
        _abort(
            "a balance follows its postings",
            "NOT EXISTS (SELECT 1 FROM posting WHERE tenant = NEW.tenant AND account = NEW.id "
            "AND version = NEW.version AND balance = NEW.posted) "
            "OR EXISTS (SELECT 1 FROM posting WHERE tenant = NEW.tenant AND account = NEW.id "
            "AND version = NEW.version + 1)",
        ),
        when="NEW.posted <> OLD.posted OR NEW.version <> OLD.version",
    ),
    _trigger(
        "account_held_follows",
        "BEFORE UPDATE OF held ON account",
        _abort("what is held follows the holds", f"NEW.held <> {_SUM_HELD}"),
        when="NEW.held <> OLD.held",
    ),
    _trigger(
        "account_time_follows",
        "BEFORE UPDATE OF at ON account",
        _abort("the time of an account follows its entries"),
        when="NEW.at < OLD.at OR (NEW.at <> OLD.at AND NEW.version = OLD.version "
        "AND NEW.held = OLD.held)",
    ),
    _trigger(
        "account_closes_once",
        "BEFORE UPDATE OF closed_at ON account",
        _abort("closed accounts stay closed"),
        when="OLD.closed_at IS NOT NULL",
    ),
    _trigger(
        "unsealed_stays", "BEFORE UPDATE ON unsealed", _abort("entries leave the queue by sealing")
    ),
    _trigger(
        "unsealed_follows",
        "BEFORE INSERT ON unsealed",
        _abort(
            "only fresh entries are queued",
            "NOT EXISTS (SELECT 1 FROM entry WHERE tenant = NEW.tenant AND id = NEW.entry "
            "AND at = NEW.at) "
            f"OR {_same_row('leaf', 'tenant', 'entry')} "
            f"OR {_same_row('unsealed', 'tenant', 'at', 'entry')}",
        ),
    ),
    _trigger(
        "unsealed_until_sealed",
        "BEFORE DELETE ON unsealed",
        _abort("an entry leaves the queue only when it is sealed"),
        when="NOT EXISTS (SELECT 1 FROM leaf WHERE tenant = OLD.tenant AND entry = OLD.entry)",
    ),
)

GUARDS = (*_POSTING, *_PROTECTION)
