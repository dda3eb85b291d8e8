-- "TaSt": tells a wallet from databases of other programs. A release that knows version 1 only
-- must not open this file: it would reserve value without telling the witness.
PRAGMA application_id = 1415664500;
CREATE INDEX holding_flag ON holding (flag);
