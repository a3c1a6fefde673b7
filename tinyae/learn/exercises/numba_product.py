"""The package's own solution of the station that needs Numba."""

from numba import njit


@njit
def product(a, b, c):
    """a (m, k), b (k, n); fills c (m, n), whatever was in it, with a @ b; returns nothing"""
    m, depth = a.shape
    n = b.shape[1]
    for i in range(m):
        for j in range(n):
            total = 0.0
            for k in range(depth):
                total += a[i, k] * b[k, j]
            c[i, j] = total
