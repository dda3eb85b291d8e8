"""A card company with Stripe's interface, for tests and for trying things out on one machine.

It moves no money. It is a process of its own with a memory of its own (a SQLite file), so it goes
on after a restart of either side: `python -m sim.stripe --file cards.sqlite --port 12111`. What
time and people decide at the real company (a bank's answer, a dispute, a payout that arrives) is
decided here by calls below ``/_control``; docs/cards.md lists them.
"""
