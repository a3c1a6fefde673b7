// The kernels of the dense layer.
//
// Where a product's sums are split, block z of the grid's third axis makes part z of them, the
// terms z * per_part .. of each; then the last block of a tile, or a sum_... kernel, adds the parts up
// and does what is left.
//
// The file that includes this one says how sums are made: Sums<ROWS, COLUMNS, TA, TB>, for tiles of
// that size and operands that are transposed or not (see dense_product.cuh).

#include "dense_tile.cuh"  // for every tile

// Calls f(i, sum) for each of the n elements of a part, always added in the same order: two runs
// give the same bits.
template <class F> __device__ void each_sum(const REAL *parts, int splits, long long n, F f) {
    long long stride = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) {
        REAL total = 0;
        for (int part = 0; part < splits; part++) total += parts[part * n + i];
        f(i, total);
    }
}

extern "C" __global__ void sum_forward(const REAL *parts, int splits, long long n, const REAL *b,
                                       int activation, REAL *y, REAL *pre, int n_out) {
    each_sum(parts, splits, n, [&](long long i, REAL total) {
        REAL z = total + b[i % n_out];
        if (pre) pre[i] = z;
        y[i] = activate(activation, z);
    });
}

extern "C" __global__ void sum_input(const REAL *parts, int splits, long long n, int activation,
                                     const REAL *saved, REAL *dx) {
    each_sum(parts, splits, n, [&](long long i, REAL total) {
        dx[i] = total * activation_slope(activation, saved[i]);
    });
}

extern "C" __global__ void sum_weights(const REAL *parts, int splits, long long n, REAL *dw,
                                       REAL *db, int add, int n_out) {
    long long n_weights = n - n_out;
    each_sum(parts, splits, n, [&](long long i, REAL total) {
        REAL &to = i < n_weights ? dw[i] : db[i - n_weights];
        to = add ? to + total : total;
    });
}
