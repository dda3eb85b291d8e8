"""Sync: counted records, marks that find a restored database, events that name their transfer."""

import sqlalchemy as sa
from alembic import op

revision = "0008_sync"
down_revision = "0007_trust"


def upgrade() -> None:
    op.create_table(
        "offline_sequence",
        sa.Column("tenant", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("key_id", sa.LargeBinary(32), primary_key=True),
        sa.Column("complete_to", sa.BigInteger, nullable=False),
    )
    op.add_column("offline_event", sa.Column("transfer", sa.LargeBinary(32)))
    op.add_column("offline_device", sa.Column("mark_shown", sa.LargeBinary(16)))
    op.add_column("offline_device", sa.Column("mark_given", sa.LargeBinary(16)))
    op.add_column(
        "offline_voucher",
        sa.Column("records", sa.Integer, nullable=False, server_default=sa.text("0")),
    )
    op.execute(
        "UPDATE offline_voucher SET records = (SELECT count(*) FROM offline_transfer "
        "WHERE offline_transfer.tenant = offline_voucher.tenant "
        "AND offline_transfer.root = offline_voucher.id)"
    )
