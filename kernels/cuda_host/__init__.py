"""The CUDA C sources compiled by a C++ compiler and run on the CPU."""
