"""Tables about trust: what is revoked, the log of certificates, further keys of devices."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.db import Base, Id, UtcTime

_ID_BYTES = 32
_PREFIX_BYTES = 8


class RevocationRow(Base):
    """One stay of an entry in the revocation list: from one epoch up to another."""

    __tablename__ = "offline_revocation"
    __table_args__ = (
        Index("ix_offline_revocation_prefix", "tenant", "prefix"),
        Index("ix_offline_revocation_removed", "tenant", "removed_epoch"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    added_epoch: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    prefix: Mapped[bytes] = mapped_column(LargeBinary(_PREFIX_BYTES), primary_key=True)
    removed_epoch: Mapped[int | None] = mapped_column(BigInteger)
    identity: Mapped[bytes] = mapped_column(LargeBinary(_ID_BYTES))
    """The whole id: of a device key, a voucher or an issuing key."""
    kind: Mapped[str] = mapped_column(String(7))
    reason: Mapped[str] = mapped_column(String(64))
    until: Mapped[int] = mapped_column(BigInteger)
    """Unix seconds after which nothing that it concerns can be accepted offline any more."""
    at: Mapped[datetime] = mapped_column(UtcTime)


class CertificateLogRow(Base):
    """One entry of the log of certificates, and the head of the log after it."""

    __tablename__ = "offline_certificate_log"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    size: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    certificate_id: Mapped[bytes] = mapped_column(LargeBinary(_ID_BYTES))
    head: Mapped[bytes] = mapped_column(LargeBinary(_ID_BYTES))


class BoundKeyRow(Base):
    """A further key of a device, which signed for itself that it belongs there."""

    __tablename__ = "offline_bound_key"
    __table_args__ = (Index("ix_offline_bound_key_owner", "tenant", "owner"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    key_id: Mapped[bytes] = mapped_column(LargeBinary(_ID_BYTES), primary_key=True)
    owner: Mapped[bytes] = mapped_column(LargeBinary(_ID_BYTES))
    """Id of the key that the device was enrolled with."""
    device_id: Mapped[UUID] = mapped_column(Id)
    binding: Mapped[bytes] = mapped_column(LargeBinary)
    at: Mapped[datetime] = mapped_column(UtcTime)
