// Losses, divergences and penalties, each a pass over all elements (see reference/loss.py).

#include "loss.cuh"

// Four blocks on a multiprocessor: left to itself, the compiler makes room for more in double, and
// spills.
extern "C" __global__ void __launch_bounds__(REDUCE_THREADS, 4) loss_elements(
    int loss, const REAL *output, const REAL *target, REAL scale, REAL *gradient, double *parts,
    unsigned *ticket, double *totals, long long n) {
    loss_pass(loss, output, target, scale, gradient, parts, ticket, totals, n, (int)blockIdx.x,
              (int)gridDim.x);
}

// totals[0] += the sum of each block's value
__device__ inline void add_to_total(double value, double *parts, unsigned *ticket, double *totals,
                                    double *shared) {
    value = block_sum(value, shared);
    if (threadIdx.x == 0) parts[blockIdx.x] = value;
    if (!is_last_block(ticket, gridDim.x)) return;
    value = sum_parts(parts, (int)gridDim.x, shared);
    if (threadIdx.x == 0) totals[0] += value;
}

// The cross-entropy of groups of columns, a thread for each group of a sample: output has logits,
// group g the columns bounds[g] .. bounds[g + 1] - 1 (see reference/loss.py). totals[0] += all of them.
extern "C" __global__ void __launch_bounds__(REDUCE_THREADS) softmax_groups(
    const REAL *output, const REAL *target, const long long *bounds, int groups, int columns,
    REAL scale, REAL *gradient, double *parts, unsigned *ticket, double *totals, long long n) {
    __shared__ double shared[REDUCE_THREADS];
    double value = 0;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n;
         i += (long long)gridDim.x * blockDim.x) {
        long long first = bounds[i % groups], last = bounds[i % groups + 1];
        if (first < 0 || first >= last || last > columns) {  // no group: the loss shows it
            value = nan("");
            continue;
        }
        const REAL *z = output + i / groups * columns, *t = target + i / groups * columns;
        REAL *slope = gradient + i / groups * columns, top = z[first];
        REAL weight = 0, total = 0;
        for (long long j = first; j < last; j++) {
            top = z[j] > top ? z[j] : top;
            weight += t[j];
        }
        bool missing = weight != weight;  // a target is NaN
        for (long long j = first; j < last; j++) total += exp(z[j] - top);
        REAL high = log(total), times = weight / total;
        for (long long j = first; j < last; j++) {
            value += missing ? (REAL)0 : t[j] * (high - (z[j] - top));
            slope[j] = missing ? (REAL)0 : (exp(z[j] - top) * times - t[j]) * scale;
        }
    }
    add_to_total(value, parts, ticket, totals, shared);
}

struct Normal {
    REAL mean, log_variance;
};

// gradient = weight / batch [m, (exp(v) - 1) / 2] for x = [m, v], of rows of ``code`` means and as
// many log-variances; totals[0] += the sum of weight (m^2 + exp(v) - 1 - v) / 2
extern "C" __global__ void __launch_bounds__(REDUCE_THREADS) normal_divergence(
    const REAL *x, const double *weight, int code, int batch, REAL *gradient, double *parts,
    unsigned *ticket, double *totals, long long n) {
    __shared__ double shared[REDUCE_THREADS];
    const REAL scale = (REAL)(weight[0] / batch);
    double value = 0;
    auto read = [&](long long i) {
        const REAL *mean = x + i + i / code * code;
        return Normal{mean[0], mean[code]};
    };
    for_each(n, read, [&](long long i, Normal normal) {
        REAL e = expm1(normal.log_variance), *slope = gradient + i + i / code * code;
        slope[0] = normal.mean * scale;
        slope[code] = e * (scale / 2);
        value += normal.mean * normal.mean + (e - normal.log_variance);
    });
    add_to_total(value * weight[0] / 2, parts, ticket, totals, shared);
}

// out = x * y, which may be one of them; totals[0] += the sum of weight * x * y
extern "C" __global__ void __launch_bounds__(REDUCE_THREADS) inner_product(
    const REAL *x, const REAL *y, double weight, REAL *out, double *parts, unsigned *ticket,
    double *totals, long long n) {
    __shared__ double shared[REDUCE_THREADS];
    double value = 0;
    auto read = [&](long long i) { return Pair{x[i], y[i]}; };
    for_each(n, read, [&](long long i, Pair pair) {
        REAL product = pair.output * pair.target;
        out[i] = product;
        value += product;
    });
    add_to_total(weight * value, parts, ticket, totals, shared);
}

// Penalties on activities y, see reference/loss.py: a thread for each column, of ``batch`` rows.
// gradient = scale times the slope, scale = weight / batch; totals[0] += weight times the sums
extern "C" __global__ void __launch_bounds__(REDUCE_THREADS, 4) activity_penalty(
    int penalty, const REAL *y, double weight, REAL rate, REAL *gradient, double *parts,
    unsigned *ticket, double *totals, int columns, int batch) {
    __shared__ double shared[REDUCE_THREADS];
    const long long n = (long long)batch * columns;
    const REAL scale = (REAL)(weight / batch);
    double value = 0;
    for (int j = (int)(blockIdx.x * blockDim.x + threadIdx.x); j < columns;
         j += (int)(gridDim.x * blockDim.x)) {
        double sum = 0;
        if (penalty == PENALTY_L1) {
            for (long long i = j; i < n; i += columns) {
                REAL y_i = y[i];
                gradient[i] = y_i > 0 ? scale : y_i < 0 ? -scale : scale * y_i;  // NaN passes
                sum += fabs(y_i);
            }
            value += sum;
            continue;
        }
        for (long long i = j; i < n; i += columns) sum += y[i];
        REAL mean = (REAL)(sum / batch), margin = RATE_MARGIN, rest = 1 - rate;
        mean = mean < margin ? margin : mean > 1 - margin ? 1 - margin : mean;
        value += batch * (rate * log(rate / mean) + rest * log(rest / (1 - mean)));
        REAL slope = scale * (rest / (1 - mean) - rate / mean);
        for (long long i = j; i < n; i += columns) gradient[i] = slope;
    }
    add_to_total(weight * value, parts, ticket, totals, shared);
}
