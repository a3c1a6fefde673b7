"""Training by several processes that MPI has started, see README.md beside this file."""
