"""The hot operations of an autoencoder: one operation per row, one backend per column.

Each column is a folder, and an operation has the same file name in all of them. README.md in this
folder has the reading order, the grid as a table, and the files that a new operation takes.
``reference``, in NumPy, is the column to begin with; ``backend.py`` is the contract of all columns.

This package imports nothing from the rest of tinyae.
"""

if __name__ != "tinyae.kernels":
    raise ImportError(
        f"the kernels are the package tinyae.kernels, not {__name__!r}: a second copy of them "
        "would not be the one that tinyae uses. Install the project (pip install -e .) and write "
        "'from tinyae import kernels'"
    )
