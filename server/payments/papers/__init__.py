"""Papers: invoices and statements as signed PDF documents, in seven languages."""

from server.payments.papers.desk import PaperDesk
from server.payments.papers.signing import DocumentSigner
from server.payments.papers.typesetting import Typesetter

__all__ = ["DocumentSigner", "PaperDesk", "Typesetter"]
