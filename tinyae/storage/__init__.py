"""What is kept in files: written whole or not at all, read with distrust."""
