"""Training: batches, optimisers, epochs of steps, and what interrupts and resumes them."""
