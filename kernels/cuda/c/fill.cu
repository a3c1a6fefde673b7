// Missing values: NaN becomes a number of its column's own (see reference/fill.py).

#include "elementwise.cuh"

// out may be x: each element is read before it is written, by the same thread
extern "C" __global__ void fill(const REAL *x, const REAL *values, REAL *out, int columns,
                                long long n) {
    auto read = [&](long long i) { return x[i]; };
    for_each(n, read, [&](long long i, REAL x_i) {
        out[i] = x_i != x_i ? values[i % columns] : x_i;
    });
}
