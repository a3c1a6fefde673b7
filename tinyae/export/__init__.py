"""Trained nets as files that need no tinyae."""
