"""For learners: the numbers of a training step, and exercises."""
