"""Talking to the server: calls, retries, proofs of possession, sync."""
