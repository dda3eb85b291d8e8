"""Tables of the identity room, private to it.

Phone numbers and e-mail addresses are sealed and found through blind indexes. A contact belongs to
one person only once it has been confirmed; until then any number of people may claim it, so nobody
can keep an address from its owner by registering first.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, LargeBinary, String, text
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.db import Base, Id, Json, UtcTime


class UserRow(Base):
    __tablename__ = "identity_user"
    __table_args__ = (
        Index("uq_identity_user_username", "tenant", "username", unique=True),
        Index("ix_identity_user_created_at", "created_at"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    username: Mapped[str] = mapped_column(String(32))
    display_name: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(16))
    password_hash: Mapped[str] = mapped_column(String(160))
    language: Mapped[str | None] = mapped_column(String(8))
    """The language that the person chose; None means that of each request."""
    created_at: Mapped[datetime] = mapped_column(UtcTime)


class ContactRow(Base):
    __tablename__ = "identity_contact"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant", "user_id"],
            ["identity_user.tenant", "identity_user.id"],
            name="fk_identity_contact_user",
            ondelete="CASCADE",
        ),
        Index("uq_identity_contact_kind", "tenant", "user_id", "kind", unique=True),
        Index("ix_identity_contact_address", "tenant", "kind", "address_index"),
        Index(
            "uq_identity_contact_confirmed",
            "tenant",
            "kind",
            "address_index",
            unique=True,
            sqlite_where=text("confirmed_at IS NOT NULL"),
            postgresql_where=text("confirmed_at IS NOT NULL"),
        ),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id)
    kind: Mapped[str] = mapped_column(String(8))
    address_index: Mapped[bytes] = mapped_column(LargeBinary(32))
    address_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    confirmed_at: Mapped[datetime | None] = mapped_column(UtcTime)
    created_at: Mapped[datetime] = mapped_column(UtcTime)


class ConfirmationRow(Base):
    """The one live code or link of a contact; a new one replaces it."""

    __tablename__ = "identity_confirmation"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant", "contact_id"],
            ["identity_contact.tenant", "identity_contact.id"],
            name="fk_identity_confirmation_contact",
            ondelete="CASCADE",
        ),
        Index("uq_identity_confirmation_digest", "tenant", "digest", unique=True),
        Index("ix_identity_confirmation_expires_at", "expires_at"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    contact_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    tries: Mapped[int]
    expires_at: Mapped[datetime] = mapped_column(UtcTime)


class SessionRow(Base):
    """One sign-in, and the family of refresh tokens that came from it."""

    __tablename__ = "identity_session"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant", "user_id"],
            ["identity_user.tenant", "identity_user.id"],
            name="fk_identity_session_user",
        ),
        ForeignKeyConstraint(
            ["tenant", "device_id"],
            ["identity_device.tenant", "identity_device.id"],
            name="fk_identity_session_device",
        ),
        Index("ix_identity_session_user", "tenant", "user_id", "ended_at"),
        Index("ix_identity_session_device", "tenant", "device_id"),
        Index("ix_identity_session_expires_at", "expires_at"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id)
    device_id: Mapped[UUID | None] = mapped_column(Id)
    name: Mapped[str] = mapped_column(String(64))
    key_thumbprint: Mapped[str | None] = mapped_column(String(43))
    refreshable: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    auth_at: Mapped[datetime] = mapped_column(UtcTime)
    last_seen_at: Mapped[datetime] = mapped_column(UtcTime)
    expires_at: Mapped[datetime] = mapped_column(UtcTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)
    end_reason: Mapped[str | None] = mapped_column(String(16))


class RefreshTokenRow(Base):
    __tablename__ = "identity_refresh_token"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant", "session_id"],
            ["identity_session.tenant", "identity_session.id"],
            name="fk_identity_refresh_token_session",
            ondelete="CASCADE",
        ),
        Index("ix_identity_refresh_token_session", "tenant", "session_id"),
        Index("ix_identity_refresh_token_expires_at", "expires_at"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    session_id: Mapped[UUID] = mapped_column(Id)
    expires_at: Mapped[datetime] = mapped_column(UtcTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcTime)


class DeviceRow(Base):
    __tablename__ = "identity_device"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant", "user_id"],
            ["identity_user.tenant", "identity_user.id"],
            name="fk_identity_device_user",
        ),
        Index("uq_identity_device_key_id", "tenant", "key_id", unique=True),
        Index("ix_identity_device_user", "tenant", "user_id"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id)
    key_id: Mapped[bytes] = mapped_column(LargeBinary(32))
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    name: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    held_reason: Mapped[str | None] = mapped_column(String(64))
    """Why the house suspended it; only the house can lift that."""
    enrolled_at: Mapped[datetime] = mapped_column(UtcTime)
    changed_at: Mapped[datetime] = mapped_column(UtcTime)


class DeviceChallengeRow(Base):
    __tablename__ = "identity_device_challenge"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant", "session_id"],
            ["identity_session.tenant", "identity_session.id"],
            name="fk_identity_device_challenge_session",
            ondelete="CASCADE",
        ),
        Index("ix_identity_device_challenge_session", "tenant", "session_id"),
        Index("ix_identity_device_challenge_expires_at", "expires_at"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    session_id: Mapped[UUID] = mapped_column(Id)
    expires_at: Mapped[datetime] = mapped_column(UtcTime)


class ProofNonceRow(Base):
    """Proofs that were seen, kept as long as their time alone would not refuse them."""

    __tablename__ = "identity_proof_nonce"
    __table_args__ = (Index("ix_identity_proof_nonce_expires_at", "expires_at"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(UtcTime)


class CounterRow(Base):
    """How often something happened to a subject since its window began."""

    __tablename__ = "identity_counter"
    __table_args__ = (Index("ix_identity_counter_until", "until"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    purpose: Mapped[str] = mapped_column(String(32), primary_key=True)
    subject: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    count: Mapped[int]
    until: Mapped[datetime] = mapped_column(UtcTime)


class GuessRow(Base):
    """Sign-ins tried in a row without success, for people known and unknown alike."""

    __tablename__ = "identity_guess"
    __table_args__ = (Index("ix_identity_guess_forgotten_at", "forgotten_at"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    subject: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    failures: Mapped[int]
    paused_until: Mapped[datetime] = mapped_column(UtcTime)
    forgotten_at: Mapped[datetime] = mapped_column(UtcTime)


class SignalRow(Base):
    """Something that risk rules will want to know."""

    __tablename__ = "identity_signal"
    __table_args__ = (Index("ix_identity_signal_user", "tenant", "user_id", "at"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    user_id: Mapped[UUID | None] = mapped_column(Id)
    session_id: Mapped[UUID | None] = mapped_column(Id)
    at: Mapped[datetime] = mapped_column(UtcTime)
    detail: Mapped[Any] = mapped_column(Json)


class SigningKeyRow(Base):
    """Keys that sign access tokens, sealed."""

    __tablename__ = "identity_signing_key"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kid: Mapped[str] = mapped_column(String(43), primary_key=True)
    public_key: Mapped[bytes] = mapped_column(LargeBinary(32))
    seed_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
