"""Generator of the conformance vectors: `python -m tests.conformance.generate` writes them anew.

Everything follows from the words that seed it, so that the same code always writes the same bytes.
Each case states the outcome that its author means; the reference has to agree, and gives the facts.
"""
