-- Transfers of others that came with payments, and who names their signers.
-- link: keyed hash of the first 8 bytes of the parent's id; flag: the day, counted from 1970, on
-- which the voucher is closed, after which the row is of no use.
CREATE TABLE seen (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  key BLOB NOT NULL UNIQUE,
  flag INTEGER NOT NULL,
  link BLOB NOT NULL,
  payload BLOB NOT NULL
) STRICT;
CREATE INDEX seen_link ON seen (link);
CREATE INDEX seen_flag ON seen (flag);

-- Tags that others told; link as above, flag: the day on which the first of them came.
CREATE TABLE heard (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  key BLOB NOT NULL UNIQUE,
  flag INTEGER NOT NULL,
  link BLOB NOT NULL,
  payload BLOB NOT NULL
) STRICT;
CREATE INDEX heard_link ON heard (link);
CREATE INDEX heard_flag ON heard (flag);
