"""Samples: data sets, file formats, and the rows that training gathers."""
