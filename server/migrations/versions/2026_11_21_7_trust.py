"""Trust: revocation lists, the log of certificates, further keys of devices."""

import sqlalchemy as sa
from alembic import op

from server.kit.db import Id, UtcTime

revision = "0007_trust"
down_revision = "0006_settlement"

_ID = sa.LargeBinary(32)


def _tenant() -> sa.Column[int]:
    return sa.Column("tenant", sa.Integer, primary_key=True, autoincrement=False)


def upgrade() -> None:
    op.create_table(
        "offline_revocation",
        _tenant(),
        sa.Column("added_epoch", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("prefix", sa.LargeBinary(8), primary_key=True),
        sa.Column("removed_epoch", sa.BigInteger),
        sa.Column("identity", _ID, nullable=False),
        sa.Column("kind", sa.String(7), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("at", UtcTime, nullable=False),
    )
    op.create_index("ix_offline_revocation_prefix", "offline_revocation", ["tenant", "prefix"])
    op.create_index(
        "ix_offline_revocation_removed", "offline_revocation", ["tenant", "removed_epoch"]
    )
    op.create_table(
        "offline_certificate_log",
        _tenant(),
        sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("certificate_id", _ID, nullable=False),
        sa.Column("head", _ID, nullable=False),
    )
    op.create_table(
        "offline_bound_key",
        _tenant(),
        sa.Column("key_id", _ID, primary_key=True),
        sa.Column("owner", _ID, nullable=False),
        sa.Column("device_id", Id, nullable=False),
        sa.Column("binding", sa.LargeBinary, nullable=False),
        sa.Column("at", UtcTime, nullable=False),
    )
    op.create_index("ix_offline_bound_key_owner", "offline_bound_key", ["tenant", "owner"])
