"""What this machine can do: what works on it, how fast, and how its GPU multiplies best."""
