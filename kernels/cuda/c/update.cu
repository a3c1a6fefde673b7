// One launch over the flat array of all parameters for each optimiser's update (see update.cuh);
// clipping; rows of length 1.

#include "last_block.cuh"
#include "reduce.cuh"
#include "update.cuh"

extern "C" __global__ void sgd(REAL *w, const REAL *grad, const double *hyper,
                               long long n_decayed, const double *guard, long long *cursor,
                               double *history, long long n) {
    update_all<Sgd>(w, grad, nullptr, nullptr, hyper, n_decayed, guard, cursor, history, n);
}

extern "C" __global__ void momentum(REAL *w, const REAL *grad, REAL *v, const double *hyper,
                                    long long n_decayed, const double *guard, long long *cursor,
                                    double *history, long long n) {
    update_all<Momentum>(w, grad, nullptr, v, hyper, n_decayed, guard, cursor, history, n);
}

extern "C" __global__ void nesterov(REAL *w, const REAL *grad, REAL *v, const double *hyper,
                                    long long n_decayed, const double *guard, long long *cursor,
                                    double *history, long long n) {
    update_all<Nesterov>(w, grad, nullptr, v, hyper, n_decayed, guard, cursor, history, n);
}

extern "C" __global__ void adam(REAL *w, const REAL *grad, REAL *m, REAL *v, const double *hyper,
                                long long n_decayed, const double *guard, long long *cursor,
                                double *history, long long n) {
    update_all<Adam>(w, grad, m, v, hyper, n_decayed, guard, cursor, history, n);
}

extern "C" __global__ void adamw(REAL *w, const REAL *grad, REAL *m, REAL *v, const double *hyper,
                                 long long n_decayed, const double *guard, long long *cursor,
                                 double *history, long long n) {
    update_all<AdamW>(w, grad, m, v, hyper, n_decayed, guard, cursor, history, n);
}

// ---- clipping by the norm of the whole gradient: a launch for the norm, one for the scale

// norm[0] = sqrt(sum of squares); parts: room for those of the blocks
extern "C" __global__ void __launch_bounds__(REDUCE_THREADS, 8) norm_of(
    const REAL *grad, double *parts, unsigned *ticket, double *norm, long long n) {
    __shared__ double shared[REDUCE_THREADS];
    double sum = 0;
    auto read = [&](long long i) { return grad[i]; };
    for_each(n, read, [&](long long, REAL g) { sum += (double)g * (double)g; });
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
    if (!is_last_block(ticket, gridDim.x)) return;
    sum = sum_parts(parts, (int)gridDim.x, shared);
    if (threadIdx.x == 0) norm[0] = sqrt(sum);
}

// grad *= max_norm / norm where the norm is larger, and finite
extern "C" __global__ void clip_to_norm(REAL *grad, double max_norm, const double *norm,
                                        long long n) {
    if (!(norm[0] > max_norm && isfinite(norm[0]))) return;
    const REAL scale = (REAL)(max_norm / norm[0]);
    auto read = [&](long long i) { return grad[i]; };
    for_each(n, read, [&](long long i, REAL g) { grad[i] = g * scale; });
}

// Divides each row of w by its norm, unless that is 0 or not finite: a block takes a row at a time.
extern "C" __global__ void __launch_bounds__(REDUCE_THREADS) unit_rows(REAL *w, int columns,
                                                                       int rows) {
    __shared__ double shared[REDUCE_THREADS];
    for (int row = (int)blockIdx.x; row < rows; row += (int)gridDim.x) {
        REAL *w_row = w + (long long)row * columns;
        double sum = 0;
        for (int j = (int)threadIdx.x; j < columns; j += REDUCE_THREADS)
            sum += (double)w_row[j] * (double)w_row[j];
        block_sum(sum, shared);
        const double square = shared[0];
        __syncthreads();  // before the next row writes there
        if (!(square > 0 && isfinite(square))) continue;
        const REAL scale = (REAL)(1 / sqrt(square));
        for (int j = (int)threadIdx.x; j < columns; j += REDUCE_THREADS) w_row[j] *= scale;
    }
}
