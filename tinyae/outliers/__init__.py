"""Rows of a table that are unlike the others: see README.md here."""
