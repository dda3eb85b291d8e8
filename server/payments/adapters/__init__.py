"""Outside parties behind the protocols of this room."""
