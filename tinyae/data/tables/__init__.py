"""Tables: text, parquet and DataFrames, what their columns are, and back."""
