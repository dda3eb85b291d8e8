"""The ledger's tables on PostgreSQL. `sqlite_tables` has the same, in its own types."""

TABLES = (
    """
    CREATE TABLE asset (
      code text PRIMARY KEY,
      scale integer NOT NULL CHECK (scale BETWEEN 0 AND 18),
      name text NOT NULL
    )
    """,
    """
    CREATE TABLE account (
      tenant integer NOT NULL,
      id uuid NOT NULL,
      kind text NOT NULL,
      asset text NOT NULL REFERENCES asset (code),
      owner uuid,
      floor bigint,
      posted bigint NOT NULL CHECK (posted BETWEEN -4611686018427387904 AND 4611686018427387904),
      held bigint NOT NULL CHECK (held >= 0),
      version bigint NOT NULL,
      at bigint NOT NULL,
      opened_at bigint NOT NULL,
      closed_at bigint,
      PRIMARY KEY (tenant, id),
      CONSTRAINT never_below_floor CHECK (floor IS NULL OR posted - held >= floor),
      CONSTRAINT closed_is_empty CHECK (closed_at IS NULL OR (posted = 0 AND held = 0))
    ) WITH (fillfactor = 50)
    """,
    "CREATE INDEX ix_account_owner ON account (tenant, owner) WHERE owner IS NOT NULL",
    """
    CREATE TABLE entry (
      tenant integer NOT NULL,
      id uuid NOT NULL,
      operation text NOT NULL
        CHECK (operation IN ('post', 'hold', 'capture', 'release', 'expire')),
      kind text NOT NULL,
      outcome text NOT NULL CHECK (outcome IN ('applied', 'refused')),
      reason text,
      debit uuid NOT NULL,
      credit uuid NOT NULL,
      asset text NOT NULL,
      amount bigint NOT NULL,
      debit_version bigint,
      credit_version bigint,
      hold uuid,
      chain uuid,
      expires_at bigint,
      effective_at bigint NOT NULL,
      at bigint NOT NULL,
      fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
      memo text,
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
    )
    """,
    "CREATE INDEX ix_entry_hold ON entry (tenant, hold) WHERE hold IS NOT NULL",
    """
    CREATE TABLE posting (
      tenant integer NOT NULL,
      account uuid NOT NULL,
      version bigint NOT NULL CHECK (version > 0),
      entry uuid NOT NULL,
      leg text NOT NULL CHECK (leg = CASE WHEN delta < 0 THEN 'debit' ELSE 'credit' END),
      delta bigint NOT NULL CHECK (delta <> 0),
      balance bigint NOT NULL,
      at bigint NOT NULL,
      effective_at bigint NOT NULL,
      PRIMARY KEY (tenant, account, version)
    )
    """,
    """
    CREATE TABLE hold (
      tenant integer NOT NULL,
      id uuid NOT NULL,
      debit uuid NOT NULL,
      credit uuid NOT NULL,
      amount bigint NOT NULL CHECK (amount > 0),
      taken bigint NOT NULL CHECK (taken BETWEEN 0 AND amount),
      state text NOT NULL CHECK (state IN ('open', 'captured', 'released', 'expired')),
      expires_at bigint,
      at bigint NOT NULL,
      PRIMARY KEY (tenant, id),
      CONSTRAINT captured_is_all_taken CHECK ((state = 'captured') = (taken = amount))
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX ix_hold_open ON hold (tenant, debit) WHERE state = 'open'",
    "CREATE INDEX ix_hold_expiry ON hold (tenant, expires_at) WHERE state = 'open'",
    """
    CREATE TABLE unsealed (
      tenant integer NOT NULL,
      at bigint NOT NULL,
      entry uuid NOT NULL,
      PRIMARY KEY (tenant, at, entry)
    )
    """,
    """
    CREATE TABLE leaf (
      tenant integer NOT NULL,
      position bigint NOT NULL CHECK (position > 0),
      entry uuid NOT NULL,
      hash bytea NOT NULL CHECK (octet_length(hash) = 32),
      PRIMARY KEY (tenant, position),
      CONSTRAINT uq_leaf_entry UNIQUE (tenant, entry)
    )
    """,
    """
    CREATE TABLE seal (
      tenant integer NOT NULL,
      number bigint NOT NULL CHECK (number > 0),
      last_position bigint NOT NULL,
      root bytea NOT NULL CHECK (octet_length(root) = 32),
      previous bytea NOT NULL CHECK (octet_length(previous) = 32),
      hash bytea NOT NULL CHECK (octet_length(hash) = 32),
      at bigint NOT NULL,
      public_key bytea,
      signature bytea,
      PRIMARY KEY (tenant, number),
      CONSTRAINT signature_with_key CHECK ((public_key IS NULL) = (signature IS NULL))
    )
    """,
)
