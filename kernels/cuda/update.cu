// Optimiser updates: one launch over the flat array of all parameters (see reference/update.py).
//
// The step's numbers (learning rate, corrections for the step count, ...) are read from device
// memory, so that a recorded step can be replayed with new ones; and so is guard, the step's
// loss: where it is not finite nothing is written, and the last good weights stay. It is asked for
// after the numbers, so that their answers are waited for together.
//
// A recorded step ends here: its loss goes into the epoch's history, and the cursor (see gather.cu) to
// the next step. Elsewhere cursor is null.

#include "elementwise.cuh"
#include "last_block.cuh"
#include "reduce.cuh"

struct Parameter {
    REAL w, g, v = 0, m = 0;  // the value, its gradient, and the moments that an optimiser has
};

// g of parameter i: the first n_decayed, the weights, decay; a bias does not.
__device__ inline REAL decayed(const Parameter &p, REAL decay, long long i, long long n_decayed) {
    return i < n_decayed ? p.g + decay * p.w : p.g;
}

// history[step] = totals, and on to the next step; is the loss, totals[0], finite?
__device__ inline bool end_step(const double *totals, long long *cursor, double *history) {
    if (cursor && blockIdx.x == 0 && threadIdx.x == 0) {
        const long long step = cursor[0];
        history[2 * step] = totals[0];
        history[2 * step + 1] = totals[1];
        cursor[0] = step + 1;
    }
    return isfinite(totals[0]);
}

// w -= lr g
extern "C" __global__ void sgd(REAL *w, const REAL *grad, const double *hyper,
                               long long n_decayed, const double *guard, long long *cursor,
                               double *history, long long n) {
    const REAL rate = (REAL)hyper[HYPER_LEARNING_RATE], decay = (REAL)hyper[HYPER_WEIGHT_DECAY];
    if (!end_step(guard, cursor, history)) return;
    auto read = [&](long long i) { return Parameter{w[i], grad[i]}; };
    for_each(n, read, [&](long long i, Parameter p) {
        w[i] = p.w - rate * decayed(p, decay, i, n_decayed);
    });
}

// v = mu v + g, w -= lr v
extern "C" __global__ void momentum(REAL *w, const REAL *grad, REAL *v, const double *hyper,
                                    long long n_decayed, const double *guard, long long *cursor,
                                    double *history, long long n) {
    const REAL rate = (REAL)hyper[HYPER_LEARNING_RATE], decay = (REAL)hyper[HYPER_WEIGHT_DECAY];
    const REAL mu = (REAL)hyper[HYPER_MOMENTUM];
    if (!end_step(guard, cursor, history)) return;
    auto read = [&](long long i) { return Parameter{w[i], grad[i], v[i]}; };
    for_each(n, read, [&](long long i, Parameter p) {
        REAL moved = mu * p.v + decayed(p, decay, i, n_decayed);
        v[i] = moved;
        w[i] = p.w - rate * moved;
    });
}

// v = mu v + g, w -= lr (g + mu v)
extern "C" __global__ void nesterov(REAL *w, const REAL *grad, REAL *v, const double *hyper,
                                    long long n_decayed, const double *guard, long long *cursor,
                                    double *history, long long n) {
    const REAL rate = (REAL)hyper[HYPER_LEARNING_RATE], decay = (REAL)hyper[HYPER_WEIGHT_DECAY];
    const REAL mu = (REAL)hyper[HYPER_MOMENTUM];
    if (!end_step(guard, cursor, history)) return;
    auto read = [&](long long i) { return Parameter{w[i], grad[i], v[i]}; };
    for_each(n, read, [&](long long i, Parameter p) {
        REAL g = decayed(p, decay, i, n_decayed), moved = mu * p.v + g;
        v[i] = moved;
        w[i] = p.w - rate * (g + mu * moved);
    });
}

// What adam and adamw share: the numbers of the step, and how the moments move.
struct Adam {
    REAL rate, decay, beta1, beta2, one_minus_beta1, one_minus_beta2, eps, step, correction2;

    __device__ explicit Adam(const double *hyper)
        : rate((REAL)hyper[HYPER_LEARNING_RATE]), decay((REAL)hyper[HYPER_WEIGHT_DECAY]),
          beta1((REAL)hyper[HYPER_BETA1]), beta2((REAL)hyper[HYPER_BETA2]),
          one_minus_beta1((REAL)(1 - hyper[HYPER_BETA1])),
          one_minus_beta2((REAL)(1 - hyper[HYPER_BETA2])), eps((REAL)hyper[HYPER_EPS]),
          step((REAL)(hyper[HYPER_LEARNING_RATE] / hyper[HYPER_CORRECTION1])),
          correction2((REAL)hyper[HYPER_CORRECTION2]) {}

    // Advances the moments by g; returns lr m^ / (sqrt(v^) + eps).
    __device__ REAL move(REAL g, REAL &m, REAL &v) const {
        m = beta1 * m + one_minus_beta1 * g;
        v = beta2 * v + one_minus_beta2 * (g * g);
        return step * m / (sqrt(v / correction2) + eps);
    }
};

// m, v = moving means of g and g^2; w -= lr m^ / (sqrt(v^) + eps)
extern "C" __global__ void adam(REAL *w, const REAL *grad, REAL *m, REAL *v, const double *hyper,
                                long long n_decayed, const double *guard, long long *cursor,
                                double *history, long long n) {
    const Adam numbers(hyper);
    if (!end_step(guard, cursor, history)) return;
    auto read = [&](long long i) { return Parameter{w[i], grad[i], v[i], m[i]}; };
    for_each(n, read, [&](long long i, Parameter p) {
        REAL g = decayed(p, numbers.decay, i, n_decayed);
        w[i] = p.w - numbers.move(g, p.m, p.v);
        m[i] = p.m;
        v[i] = p.v;
    });
}

// w *= 1 - lr decay, then adam without decay in g
extern "C" __global__ void adamw(REAL *w, const REAL *grad, REAL *m, REAL *v, const double *hyper,
                                 long long n_decayed, const double *guard, long long *cursor,
                                 double *history, long long n) {
    const Adam numbers(hyper);
    const REAL keep = (REAL)(1 - hyper[HYPER_LEARNING_RATE] * hyper[HYPER_WEIGHT_DECAY]);
    if (!end_step(guard, cursor, history)) return;
    auto read = [&](long long i) { return Parameter{w[i], grad[i], v[i], m[i]}; };
    for_each(n, read, [&](long long i, Parameter p) {
        REAL shrunk = i < n_decayed ? keep * p.w : p.w;
        w[i] = shrunk - numbers.move(p.g, p.m, p.v);
        m[i] = p.m;
        v[i] = p.v;
    });
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
