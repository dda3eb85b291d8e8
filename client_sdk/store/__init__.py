"""The encrypted wallet file."""
