"""The matrix product: packing, tiles, AMX, and how such a product comes about."""
