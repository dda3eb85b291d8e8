"""Trust: revocation lists, the log of certificates, pseudonyms of devices."""

revision = "0007_trust"
down_revision = "0006_settlement"


def upgrade() -> None:
    pass
