"""Run folders, and what commands do with them."""
