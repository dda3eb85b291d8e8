"""The server is killed again and again under clients that retry; no money is lost or doubled."""
