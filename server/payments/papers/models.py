"""Tables of papers, private to this slice."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.db import Base, Id, UtcTime


class DocumentKeyRow(Base):
    """A key that signs documents, with its certificate in DER."""

    __tablename__ = "document_key"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    certificate: Mapped[bytes] = mapped_column(LargeBinary)
    key_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    ends_at: Mapped[datetime] = mapped_column(UtcTime)
    """The last moment at which it signs; its certificate is valid for longer."""
