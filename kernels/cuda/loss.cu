// Losses: value and gradient in one pass over output and target (see reference/loss.py).
//
// Each block leaves a pair of sums, the last one adds the pairs up. Both add in a fixed order and in
// double, so that two runs give the same bits.

#include "elementwise.cuh"
#include "last_block.cuh"
#include "reduce.cuh"

static_assert(LOSS_COUNT == 4, "a loss of conventions.py is missing here");

struct Pair {
    REAL output, target;
};

struct Term {
    REAL value, slope, error;  // loss, d loss / d output, reconstruction - target
};

// One element: output is the reconstruction, for bce its logit.
__device__ inline Term loss_term(int loss, REAL output, REAL target) {
    REAL error = output - target;
    switch (loss) {
    case LOSS_BCE: {
        // -t log p - (1 - t) log(1 - p) = max(z, 0) - z t + log(1 + exp(-|z|)), p = sigmoid(z)
        // One exp for both: in double the assembler spills for sm_120 if it meets two.
        REAL z = output, e = exp(-fabs(z)), p = (z >= 0 ? (REAL)1 : e) / (1 + e);
        REAL value = (z < 0 ? (REAL)0 : z) - z * target + log1p(e);
        return {value, p - target, p - target};
    }
    case LOSS_L1: {
        REAL sign = error > 0 ? (REAL)1 : error < 0 ? (REAL)-1 : error;  // NaN passes
        return {fabs(error), sign, error};
    }
    case LOSS_HUBER: {
        // with c the error clipped to [-delta, delta]: loss = c (error - c / 2), slope = c
        REAL c = error < -HUBER_DELTA ? -HUBER_DELTA : error > HUBER_DELTA ? HUBER_DELTA : error;
        return {c * (error - c / 2), c, error};
    }
    default: return {error * error, 2 * error, error};  // mse
    }
}

// gradient = slope * scale (scale = 1 / batch); totals = [sum of losses, sum of squared errors];
// parts: room for those of the blocks, first all losses. Four blocks on a multiprocessor: left to
// itself, the compiler makes room for more in double, and spills.
extern "C" __global__ void __launch_bounds__(REDUCE_THREADS, 4) loss_elements(
    int loss, const REAL *output, const REAL *target, REAL scale, REAL *gradient, double *parts,
    unsigned *ticket, double *totals, long long n) {
    __shared__ double shared_value[REDUCE_THREADS], shared_square[REDUCE_THREADS];
    double value = 0, square = 0;
    auto read = [&](long long i) { return Pair{output[i], target[i]}; };
    for_each(n, read, [&](long long i, Pair pair) {
        Term term = loss_term(loss, pair.output, pair.target);
        if (pair.target != pair.target) term = {0, 0, 0};  // NaN: a missing value
        gradient[i] = term.slope * scale;
        value += term.value;
        square += term.error * term.error;
    });
    value = block_sum(value, shared_value);
    square = block_sum(square, shared_square);
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = value;
        parts[gridDim.x + blockIdx.x] = square;
    }
    if (!is_last_block(ticket, gridDim.x)) return;
    value = sum_parts(parts, (int)gridDim.x, shared_value);
    square = sum_parts(parts + gridDim.x, (int)gridDim.x, shared_square);
    if (threadIdx.x == 0) {
        totals[0] = value;
        totals[1] = square;
    }
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
