"""What the three parties have in common: a book, idempotent answers, faults, planned work, and serving."""
