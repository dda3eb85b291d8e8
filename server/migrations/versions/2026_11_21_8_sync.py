"""Sync: what taking in large backlogs needs."""

revision = "0008_sync"
down_revision = "0007_trust"


def upgrade() -> None:
    pass
