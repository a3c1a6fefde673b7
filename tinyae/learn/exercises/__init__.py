"""Twelve stations, in the order in which one understands backpropagation."""
