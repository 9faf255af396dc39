"""Rules: dated policy books, and decisions as pure functions of facts and a book."""
