"""People, their contacts, sessions, devices and keys."""

import sqlalchemy as sa
from alembic import op

from server.kit.db import Id, Json, UtcTime

revision = "0003_identity"
down_revision = "0002_ledger"


def upgrade() -> None:
    _create_people()
    _create_devices()
    _create_sessions()
    _create_memory()


def _tenant() -> sa.Column[int]:
    return sa.Column("tenant", sa.Integer, primary_key=True, autoincrement=False)


def _belongs_to(
    name: str, column: str, table: str, ondelete: str | None = None
) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant", column], [f"{table}.tenant", f"{table}.id"], name=name, ondelete=ondelete
    )


def _create_people() -> None:
    op.create_table(
        "identity_user",
        _tenant(),
        sa.Column("id", Id, primary_key=True),
        sa.Column("username", sa.String(32), nullable=False),
        sa.Column("display_name", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("password_hash", sa.String(160), nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
    )
    op.create_index(
        "uq_identity_user_username", "identity_user", ["tenant", "username"], unique=True
    )
    op.create_index("ix_identity_user_created_at", "identity_user", ["created_at"])
    op.create_table(
        "identity_contact",
        _tenant(),
        sa.Column("id", Id, primary_key=True),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("address_index", sa.LargeBinary(32), nullable=False),
        sa.Column("address_sealed", sa.LargeBinary, nullable=False),
        sa.Column("confirmed_at", UtcTime),
        sa.Column("created_at", UtcTime, nullable=False),
        _belongs_to("fk_identity_contact_user", "user_id", "identity_user", ondelete="CASCADE"),
    )
    op.create_index(
        "uq_identity_contact_kind", "identity_contact", ["tenant", "user_id", "kind"], unique=True
    )
    op.create_index(
        "ix_identity_contact_address", "identity_contact", ["tenant", "kind", "address_index"]
    )
    op.create_index(
        "uq_identity_contact_confirmed",
        "identity_contact",
        ["tenant", "kind", "address_index"],
        unique=True,
        sqlite_where=sa.text("confirmed_at IS NOT NULL"),
        postgresql_where=sa.text("confirmed_at IS NOT NULL"),
    )
    op.create_table(
        "identity_confirmation",
        _tenant(),
        sa.Column("contact_id", Id, primary_key=True),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("expires_at", UtcTime, nullable=False),
        _belongs_to(
            "fk_identity_confirmation_contact",
            "contact_id",
            "identity_contact",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "uq_identity_confirmation_digest",
        "identity_confirmation",
        ["tenant", "digest"],
        unique=True,
    )
    op.create_index("ix_identity_confirmation_expires_at", "identity_confirmation", ["expires_at"])


def _create_devices() -> None:
    op.create_table(
        "identity_device",
        _tenant(),
        sa.Column("id", Id, primary_key=True),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("key_id", sa.LargeBinary(32), nullable=False),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("held_reason", sa.String(64)),
        sa.Column("enrolled_at", UtcTime, nullable=False),
        sa.Column("changed_at", UtcTime, nullable=False),
        _belongs_to("fk_identity_device_user", "user_id", "identity_user"),
    )
    op.create_index(
        "uq_identity_device_key_id", "identity_device", ["tenant", "key_id"], unique=True
    )
    op.create_index("ix_identity_device_user", "identity_device", ["tenant", "user_id"])


def _create_sessions() -> None:
    op.create_table(
        "identity_session",
        _tenant(),
        sa.Column("id", Id, primary_key=True),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("device_id", Id),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("key_thumbprint", sa.String(43)),
        sa.Column("refreshable", sa.Boolean, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("auth_at", UtcTime, nullable=False),
        sa.Column("last_seen_at", UtcTime, nullable=False),
        sa.Column("expires_at", UtcTime, nullable=False),
        sa.Column("ended_at", UtcTime),
        sa.Column("end_reason", sa.String(16)),
        _belongs_to("fk_identity_session_user", "user_id", "identity_user"),
        _belongs_to("fk_identity_session_device", "device_id", "identity_device"),
    )
    op.create_index(
        "ix_identity_session_user", "identity_session", ["tenant", "user_id", "ended_at"]
    )
    op.create_index("ix_identity_session_device", "identity_session", ["tenant", "device_id"])
    op.create_index("ix_identity_session_expires_at", "identity_session", ["expires_at"])
    for table, stays in (("refresh_token", True), ("device_challenge", False)):
        op.create_table(
            f"identity_{table}",
            _tenant(),
            sa.Column("digest", sa.LargeBinary(32), primary_key=True),
            sa.Column("session_id", Id, nullable=False),
            sa.Column("expires_at", UtcTime, nullable=False),
            *([sa.Column("used_at", UtcTime)] if stays else []),
            _belongs_to(
                f"fk_identity_{table}_session",
                "session_id",
                "identity_session",
                ondelete="CASCADE",
            ),
        )
        op.create_index(
            f"ix_identity_{table}_session", f"identity_{table}", ["tenant", "session_id"]
        )
        op.create_index(f"ix_identity_{table}_expires_at", f"identity_{table}", ["expires_at"])


def _create_memory() -> None:
    op.create_table(
        "identity_proof_nonce",
        _tenant(),
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("expires_at", UtcTime, nullable=False),
    )
    op.create_index("ix_identity_proof_nonce_expires_at", "identity_proof_nonce", ["expires_at"])
    op.create_table(
        "identity_counter",
        _tenant(),
        sa.Column("purpose", sa.String(32), primary_key=True),
        sa.Column("subject", sa.LargeBinary(32), primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("until", UtcTime, nullable=False),
    )
    op.create_index("ix_identity_counter_until", "identity_counter", ["until"])
    op.create_table(
        "identity_guess",
        _tenant(),
        sa.Column("subject", sa.LargeBinary(32), primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("paused_until", UtcTime, nullable=False),
        sa.Column("forgotten_at", UtcTime, nullable=False),
    )
    op.create_index("ix_identity_guess_forgotten_at", "identity_guess", ["forgotten_at"])
    op.create_table(
        "identity_signal",
        _tenant(),
        sa.Column("id", Id, primary_key=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("user_id", Id),
        sa.Column("session_id", Id),
        sa.Column("at", UtcTime, nullable=False),
        sa.Column("detail", Json, nullable=False),
    )
    op.create_index("ix_identity_signal_user", "identity_signal", ["tenant", "user_id", "at"])
    op.create_table(
        "identity_signing_key",
        _tenant(),
        sa.Column("kid", sa.String(43), primary_key=True),
        sa.Column("public_key", sa.LargeBinary(32), nullable=False),
        sa.Column("seed_sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
    )
