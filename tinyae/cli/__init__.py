"""The command ``tinyae``: ``main`` has what it understands, the other files what it does."""
