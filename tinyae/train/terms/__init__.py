"""Terms of the objective that every family may have."""
