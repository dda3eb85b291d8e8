"""What protects the ledger's tables on PostgreSQL from every statement.

Only entries are ever written from outside. A trigger on them writes the postings, moves the
balances and keeps the holds, so there is no statement that writes half of a movement. Every other
change of these tables is refused, save those that sealing and closing an account need.

``pg_trigger_depth() = 0`` in a condition means: this statement came from outside, not from a
trigger.

A plan that was made while the tables were empty is kept while they grow. On an empty table every
plan looks cheap, also one that reads all rows of a tenant through an index. So whatever reads by
key does it in a LATERAL subquery with OFFSET 0, which is run once for each key, and with settings
under which nothing but the key's index is left to run it with.
"""

# ruff: noqa: S608 - statements are put together from the constants of this file alone.

_KEYED = "SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off"

FUNCTIONS = (
    """
    CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'ledger: % of % is refused: %', TG_OP, TG_TABLE_NAME, TG_ARGV[0]
        USING ERRCODE = 'integrity_constraint_violation';
    END $$
    """,
    # Locks in the order of ids: two batches never wait for each other in a ring. Waiting for
    # a lock does not refresh a statement's snapshot: what was committed meanwhile is read by the
    # second statement, which a volatile function runs on a snapshot of its own.
    f"""
    CREATE FUNCTION ledger_lock(of_tenant integer, accounts uuid[], entries uuid[])
    RETURNS TABLE (
      id uuid, asset text, floor bigint, posted bigint, held bigint, version bigint, at bigint,
      closed_at bigint, fingerprint bytea, reason text
    ) LANGUAGE plpgsql VOLATILE {_KEYED} AS $$
    BEGIN
      RETURN QUERY SELECT l.*, NULL::bytea, NULL::text FROM unnest(accounts) AS wanted (id),
        LATERAL (
          SELECT a.id, a.asset, a.floor, a.posted, a.held, a.version, a.at, a.closed_at
          FROM account a WHERE a.tenant = of_tenant AND a.id = wanted.id OFFSET 0 FOR UPDATE) l;
      RETURN QUERY SELECT k.id, NULL::text, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
          NULL::bigint, NULL::bigint, k.fingerprint, k.reason
        FROM unnest(entries) AS wanted (id), LATERAL (
          SELECT e.id, e.fingerprint, e.reason
          FROM entry e WHERE e.tenant = of_tenant AND e.id = wanted.id OFFSET 0) k;
    END $$
    """,
    f"""
    CREATE FUNCTION ledger_holds(
      of_tenant integer, ids uuid[], accounts uuid[], due_at bigint, count_max integer
    ) RETURNS SETOF hold LANGUAGE plpgsql STABLE {_KEYED} AS $$
    BEGIN
      RETURN QUERY
        SELECT h.* FROM unnest(ids) AS wanted (id), LATERAL (
          SELECT * FROM hold WHERE tenant = of_tenant AND hold.id = wanted.id OFFSET 0) h
        UNION
        (SELECT h.* FROM unnest(accounts) AS wanted (id), LATERAL (
          SELECT * FROM hold WHERE tenant = of_tenant AND debit = wanted.id AND state = 'open'
            AND expires_at <= due_at OFFSET 0) h ORDER BY h.expires_at, h.id LIMIT count_max);
    END $$
    """,
    f"""
    CREATE FUNCTION ledger_post() RETURNS trigger LANGUAGE plpgsql {_KEYED} AS $$
    DECLARE
      wanted bigint;
      done bigint;
      with_holds boolean;
    BEGIN
      INSERT INTO unsealed (tenant, at, entry) SELECT tenant, at, id FROM fresh;

      SELECT 2 * count(debit_version), bool_or(operation <> 'post' AND outcome = 'applied')
        INTO wanted, with_holds FROM fresh;
      IF wanted > 0 THEN
        INSERT INTO posting (tenant, account, version, entry, leg, delta, balance, at, effective_at)
        SELECT tenant, account, version, entry, leg, delta, balance, at, effective_at
        FROM (
          SELECT l.*, a.floor,
            a.posted + (sum(l.delta) OVER follows)::bigint AS balance,
            a.version + row_number() OVER follows AS next_version,
            coalesce(lag(l.at) OVER follows, a.at) AS previous_at
          FROM (
            SELECT tenant, debit AS account, debit_version AS version, id AS entry,
              'debit' AS leg, -amount AS delta, asset, at, effective_at
            FROM fresh WHERE debit_version IS NOT NULL
            UNION ALL
            SELECT tenant, credit, credit_version, id, 'credit', amount, asset, at, effective_at
            FROM fresh WHERE credit_version IS NOT NULL
          ) l, LATERAL (
            SELECT floor, posted, version, at FROM account
            WHERE tenant = l.tenant AND id = l.account AND asset = l.asset AND closed_at IS NULL
            OFFSET 0
          ) a
          WINDOW follows AS (PARTITION BY l.tenant, l.account ORDER BY l.version)
        ) legs
        WHERE version = next_version AND at >= previous_at AND (floor IS NULL OR balance >= floor);
        GET DIAGNOSTICS done = ROW_COUNT;
        IF done <> wanted THEN
          RAISE EXCEPTION 'ledger: % of % postings do not follow their account: '
            'its asset, its next version, its last time or its floor', wanted - done, wanted
            USING ERRCODE = 'integrity_constraint_violation';
        END IF;
      END IF;

      IF with_holds THEN
        INSERT INTO hold (tenant, id, debit, credit, amount, taken, state, expires_at, at)
        SELECT f.tenant, f.id, f.debit, f.credit, f.amount, 0, 'open', f.expires_at, f.at
        FROM fresh f, LATERAL (
          SELECT FROM account WHERE tenant = f.tenant AND id = f.debit AND asset = f.asset
            AND closed_at IS NULL OFFSET 0
        ) a WHERE f.operation = 'hold' AND f.outcome = 'applied';
        GET DIAGNOSTICS done = ROW_COUNT;
        SELECT count(*) INTO wanted FROM fresh WHERE operation = 'hold' AND outcome = 'applied';
        IF done <> wanted THEN
          RAISE EXCEPTION 'ledger: a hold names an account of another asset, or a closed one'
            USING ERRCODE = 'integrity_constraint_violation';
        END IF;

        UPDATE hold h SET taken = h.taken + c.captured, state = CASE
            WHEN c.ends = 0 AND h.taken + c.captured < h.amount THEN 'open'
            WHEN c.ends = 0 THEN 'captured'
            WHEN c.expires > 0 THEN 'expired'
            ELSE 'released' END
        FROM (
          SELECT tenant, hold, debit, credit,
            coalesce(sum(amount) FILTER (WHERE operation = 'capture'), 0)::bigint AS captured,
            coalesce(sum(amount) FILTER (WHERE operation <> 'capture'), 0)::bigint AS given_back,
            count(*) FILTER (WHERE operation <> 'capture') AS ends,
            count(*) FILTER (WHERE operation = 'expire') AS expires,
            max(at) FILTER (WHERE operation = 'capture') AS captured_at,
            max(at) FILTER (WHERE operation = 'expire') AS expired_at
          FROM fresh WHERE hold IS NOT NULL AND outcome = 'applied'
          GROUP BY tenant, hold, debit, credit
        ) c, LATERAL (
          SELECT ctid AS place FROM hold WHERE tenant = c.tenant AND id = c.hold
            AND debit = c.debit AND credit = c.credit OFFSET 0
        ) k
        WHERE h.ctid = k.place
          AND h.state = 'open' AND h.taken + c.captured <= h.amount
          AND (c.ends = 0 OR (c.ends = 1 AND h.taken + c.captured + c.given_back = h.amount))
          AND (c.captured_at IS NULL OR h.expires_at IS NULL OR c.captured_at < h.expires_at)
          AND (c.expired_at IS NULL OR c.expired_at >= h.expires_at);
        GET DIAGNOSTICS done = ROW_COUNT;
        SELECT count(DISTINCT (tenant, hold)) INTO wanted
          FROM fresh WHERE hold IS NOT NULL AND outcome = 'applied';
        IF done <> wanted THEN
          RAISE EXCEPTION 'ledger: % holds do not allow what is asked of them', wanted - done
            USING ERRCODE = 'integrity_constraint_violation';
        END IF;
      END IF;

      WITH change AS (
        SELECT tenant, id, sum(delta)::bigint AS delta, sum(held)::bigint AS held,
          count(version) AS steps, min(at) AS first_at, max(at) AS last_at
        FROM (
          SELECT tenant, debit AS id, at, debit_version AS version,
            CASE WHEN debit_version IS NULL THEN 0 ELSE -amount END AS delta,
            CASE operation WHEN 'post' THEN 0 WHEN 'hold' THEN amount ELSE -amount END AS held
          FROM fresh WHERE outcome = 'applied'
          UNION ALL
          SELECT tenant, credit, at, credit_version, amount, 0
          FROM fresh WHERE credit_version IS NOT NULL
        ) legs GROUP BY tenant, id
      ), changed AS (
        UPDATE account a SET posted = a.posted + c.delta, held = a.held + c.held,
          version = a.version + c.steps, at = c.last_at
        FROM change c, LATERAL (
          SELECT ctid AS place FROM account WHERE tenant = c.tenant AND id = c.id OFFSET 0
        ) k
        WHERE a.ctid = k.place AND a.at <= c.first_at
        RETURNING 1
      )
      SELECT (SELECT count(*) FROM change), (SELECT count(*) FROM changed) INTO wanted, done;
      IF done <> wanted THEN
        RAISE EXCEPTION 'ledger: % accounts are unknown or already later', wanted - done
          USING ERRCODE = 'integrity_constraint_violation';
      END IF;
      RETURN NULL;
    END $$
    """,
    f"""
    CREATE FUNCTION ledger_unsealed() RETURNS trigger LANGUAGE plpgsql {_KEYED} AS $$
    BEGIN
      IF EXISTS (
        SELECT FROM gone g LEFT JOIN LATERAL (
          SELECT true AS sealed FROM leaf WHERE tenant = g.tenant AND entry = g.entry OFFSET 0
        ) l ON true WHERE l.sealed IS NULL
      ) THEN
        RAISE EXCEPTION 'ledger: an entry leaves the queue only when it is sealed'
          USING ERRCODE = 'integrity_constraint_violation';
      END IF;
      RETURN NULL;
    END $$
    """,
)


def _refuse(name: str, event: str, reason: str, *, condition: str = "", each: str = "") -> str:
    return f"""
    CREATE TRIGGER {name} BEFORE {event}
    FOR EACH {each or "STATEMENT"} {condition}
    EXECUTE FUNCTION ledger_refuse('{reason}')
    """


_OUTSIDE = "WHEN (pg_trigger_depth() = 0)"
_APPEND_ONLY = ("asset", "entry", "posting", "leaf", "seal")
_NEVER_LESS = ("account", "hold")

_TRIGGERS = (
    """
    CREATE TRIGGER ledger_post AFTER INSERT ON entry REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_post()
    """,
    """
    CREATE TRIGGER ledger_unsealed AFTER DELETE ON unsealed REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_unsealed()
    """,
    *(
        _refuse(f"{table}_append_only", f"UPDATE OR DELETE OR TRUNCATE ON {table}", "append-only")
        for table in _APPEND_ONLY
    ),
    *(
        _refuse(f"{table}_never_less", f"DELETE OR TRUNCATE ON {table}", "rows stay for ever")
        for table in _NEVER_LESS
    ),
    _refuse("unsealed_queue", "UPDATE OR TRUNCATE ON unsealed", "entries leave it by sealing"),
    *(
        _refuse(f"{table}_follows", f"INSERT ON {table}", "it follows entries", condition=_OUTSIDE)
        for table in ("posting", "hold", "unsealed")
    ),
    _refuse("hold_follows_too", "UPDATE ON hold", "it follows entries", condition=_OUTSIDE),
    _refuse(
        "account_follows",
        "UPDATE OF tenant, id, kind, asset, owner, floor, posted, held, version, at, opened_at "
        "ON account",
        "it follows entries",
        condition=_OUTSIDE,
    ),
    _refuse(
        "account_opens_empty",
        "INSERT ON account",
        "accounts open empty",
        each="ROW",
        condition="WHEN (NEW.posted <> 0 OR NEW.held <> 0 OR NEW.version <> 0 "
        "OR NEW.closed_at IS NOT NULL)",
    ),
    _refuse(
        "account_closes_once",
        "UPDATE OF closed_at ON account",
        "closed accounts stay closed",
        each="ROW",
        condition="WHEN (OLD.closed_at IS NOT NULL)",
    ),
)

GUARDS = (*FUNCTIONS, *_TRIGGERS)
