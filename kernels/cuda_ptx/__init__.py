"""What NVRTC makes of the CUDA C sources, PTX, executed on the CPU with NumPy."""
