"""What is added to the objective of one family or another."""
