"""The ledger's tables on SQLite: strict types, and no row ids.

Replacing a row through its hidden row id would slip past the guards.
"""

_STRICT = "STRICT, WITHOUT ROWID"

TABLES = (
    f"""
    CREATE TABLE asset (
      code TEXT NOT NULL PRIMARY KEY,
      scale INTEGER NOT NULL CHECK (scale BETWEEN 0 AND 18),
      name TEXT NOT NULL
    ) {_STRICT}
    """,
    f"""
    CREATE TABLE account (
      tenant INTEGER NOT NULL,
      id BLOB NOT NULL CHECK (length(id) = 16),
      kind TEXT NOT NULL,
      asset TEXT NOT NULL REFERENCES asset (code),
      owner BLOB,
      floor INTEGER,
      posted INTEGER NOT NULL CHECK (posted BETWEEN -4611686018427387904 AND 4611686018427387904),
      held INTEGER NOT NULL CHECK (held >= 0),
      version INTEGER NOT NULL,
      at INTEGER NOT NULL,
      opened_at INTEGER NOT NULL,
      closed_at INTEGER,
      PRIMARY KEY (tenant, id),
      CONSTRAINT never_below_floor CHECK (floor IS NULL OR posted - held >= floor),
      CONSTRAINT closed_is_empty CHECK (closed_at IS NULL OR (posted = 0 AND held = 0))
    ) {_STRICT}
    """,
    "CREATE INDEX ix_account_owner ON account (tenant, owner) WHERE owner IS NOT NULL",
    f"""
    CREATE TABLE entry (
      tenant INTEGER NOT NULL,
      id BLOB NOT NULL CHECK (length(id) = 16),
      operation TEXT NOT NULL
        CHECK (operation IN ('post', 'hold', 'capture', 'release', 'expire')),
      kind TEXT NOT NULL,
      outcome TEXT NOT NULL CHECK (outcome IN ('applied', 'refused')),
      reason TEXT,
      debit BLOB NOT NULL,
      credit BLOB NOT NULL,
      asset TEXT NOT NULL,
      amount INTEGER NOT NULL,
      debit_version INTEGER,
      credit_version INTEGER,
      hold BLOB,
      chain BLOB,
      expires_at INTEGER,
      effective_at INTEGER NOT NULL,
      at INTEGER NOT NULL,
      fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
      memo TEXT,
      PRIMARY KEY (tenant, id),
      CONSTRAINT two_accounts CHECK (debit <> credit),
      CONSTRAINT amount_is_positive CHECK (amount > 0 OR (amount = 0 AND outcome = 'refused')),
      CONSTRAINT reason_of_refusal CHECK ((reason IS NULL) = (outcome = 'applied')),
      CONSTRAINT versions_where_money_moves CHECK (
        (debit_version IS NOT NULL) = (outcome = 'applied' AND operation IN ('post', 'capture'))
        AND (credit_version IS NULL) = (debit_version IS NULL)
      ),
      CONSTRAINT hold_of_operation CHECK (
        (hold IS NOT NULL) = (operation IN ('capture', 'release', 'expire'))
        AND (expires_at IS NULL OR operation = 'hold')
      )
    ) {_STRICT}
    """,
    "CREATE INDEX ix_entry_hold ON entry (tenant, hold) WHERE hold IS NOT NULL",
    f"""
    CREATE TABLE posting (
      tenant INTEGER NOT NULL,
      account BLOB NOT NULL,
      version INTEGER NOT NULL CHECK (version > 0),
      entry BLOB NOT NULL,
      leg TEXT NOT NULL CHECK (leg = CASE WHEN delta < 0 THEN 'debit' ELSE 'credit' END),
      delta INTEGER NOT NULL CHECK (delta <> 0),
      balance INTEGER NOT NULL,
      at INTEGER NOT NULL,
      effective_at INTEGER NOT NULL,
      PRIMARY KEY (tenant, account, version)
    ) {_STRICT}
    """,
    f"""
    CREATE TABLE hold (
      tenant INTEGER NOT NULL,
      id BLOB NOT NULL,
      debit BLOB NOT NULL,
      credit BLOB NOT NULL,
      amount INTEGER NOT NULL CHECK (amount > 0),
      taken INTEGER NOT NULL CHECK (taken BETWEEN 0 AND amount),
      state TEXT NOT NULL CHECK (state IN ('open', 'captured', 'released', 'expired')),
      expires_at INTEGER,
      at INTEGER NOT NULL,
      PRIMARY KEY (tenant, id),
      CONSTRAINT captured_is_all_taken CHECK ((state = 'captured') = (taken = amount))
    ) {_STRICT}
    """,
    "CREATE INDEX ix_hold_open ON hold (tenant, debit) WHERE state = 'open'",
    "CREATE INDEX ix_hold_expiry ON hold (tenant, expires_at) WHERE state = 'open'",
    f"""
    CREATE TABLE unsealed (
      tenant INTEGER NOT NULL,
      at INTEGER NOT NULL,
      entry BLOB NOT NULL,
      PRIMARY KEY (tenant, at, entry)
    ) {_STRICT}
    """,
    f"""
    CREATE TABLE leaf (
      tenant INTEGER NOT NULL,
      position INTEGER NOT NULL CHECK (position > 0),
      entry BLOB NOT NULL,
      hash BLOB NOT NULL CHECK (length(hash) = 32),
      PRIMARY KEY (tenant, position),
      CONSTRAINT uq_leaf_entry UNIQUE (tenant, entry)
    ) {_STRICT}
    """,
    f"""
    CREATE TABLE seal (
      tenant INTEGER NOT NULL,
      number INTEGER NOT NULL CHECK (number > 0),
      last_position INTEGER NOT NULL,
      root BLOB NOT NULL CHECK (length(root) = 32),
      previous BLOB NOT NULL CHECK (length(previous) = 32),
      hash BLOB NOT NULL CHECK (length(hash) = 32),
      at INTEGER NOT NULL,
      public_key BLOB,
      signature BLOB,
      PRIMARY KEY (tenant, number),
      CONSTRAINT signature_with_key CHECK ((public_key IS NULL) = (signature IS NULL))
    ) {_STRICT}
    """,
)
