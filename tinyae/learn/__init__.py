"""For learners: what a net computes, to look at and to play with."""
