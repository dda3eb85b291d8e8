"""Settlement: what disputes, deposits of collateral and the guarantee fund need."""

revision = "0006_settlement"
down_revision = "0005_offline"


def upgrade() -> None:
    pass
