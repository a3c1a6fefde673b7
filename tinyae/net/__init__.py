"""The network: layers, their parameters and first values, and the losses."""
