-- Every payload is sealed; its associated data is table, key, flag and link of the row.
CREATE TABLE header (
  name TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One row each: keys, certificate, session, cursor, time floor, next sequence number, settings.
CREATE TABLE single (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  key BLOB NOT NULL UNIQUE,
  flag INTEGER NOT NULL,
  link BLOB NOT NULL,
  payload BLOB NOT NULL
) STRICT;

-- key: id of the last voucher or transfer of the chain; flag: 1 while something is left of it.
CREATE TABLE holding (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  key BLOB NOT NULL UNIQUE,
  flag INTEGER NOT NULL,
  link BLOB NOT NULL,
  payload BLOB NOT NULL
) STRICT;

-- flag: 1 while the exchange waits for something.
CREATE TABLE exchange (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  key BLOB NOT NULL UNIQUE,
  flag INTEGER NOT NULL,
  link BLOB NOT NULL,
  payload BLOB NOT NULL
) STRICT;
CREATE INDEX exchange_flag ON exchange (flag);

-- The exact bytes that leave, written before the first of them does.
CREATE TABLE message_out (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  key BLOB NOT NULL UNIQUE REFERENCES exchange (key),
  flag INTEGER NOT NULL,
  link BLOB NOT NULL,
  payload BLOB NOT NULL
) STRICT;

-- Signed records to upload; flag: 0 to upload, 1 known to the server, 2 refused by it.
-- link: keyed hash of a transfer's parent, so that forks are found without reading everything.
CREATE TABLE record (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  key BLOB NOT NULL UNIQUE,
  flag INTEGER NOT NULL,
  link BLOB NOT NULL,
  payload BLOB NOT NULL
) STRICT;
CREATE INDEX record_flag ON record (flag, position);
CREATE INDEX record_link ON record (link);

-- Keys known to have signed the same value away twice.
CREATE TABLE revoked (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  key BLOB NOT NULL UNIQUE,
  flag INTEGER NOT NULL,
  link BLOB NOT NULL,
  payload BLOB NOT NULL
) STRICT;

-- Money calls to the server whose outcome is not yet known, with their idempotency keys.
CREATE TABLE pending_call (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  key BLOB NOT NULL UNIQUE,
  flag INTEGER NOT NULL,
  link BLOB NOT NULL,
  payload BLOB NOT NULL
) STRICT;
