"""A partner bank as a process of its own: it books, announces, pays, refuses, forgets to answer.

Nothing here imports the server: signatures, statements and answers are a second reading of what
docs/banks.md asks of a bank.
"""
