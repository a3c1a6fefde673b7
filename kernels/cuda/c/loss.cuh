// A loss: value and gradient in one pass over output and target (see reference/loss.py).
//
// Each block leaves a pair of sums, the last one adds the pairs up. Both add in a fixed order and
// in double, so that two runs give the same bits.

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

// Elements of block number ``block`` of so many. gradient = slope * scale (scale = 1 / batch);
// totals = [sum of losses, sum of squared errors]; parts: room for those of the blocks, first all
// losses.
static __device__ void loss_pass(int loss, const REAL *output, const REAL *target, REAL scale,
                                 REAL *gradient, double *parts, unsigned *ticket, double *totals,
                                 long long n, int block, int blocks) {
    __shared__ double shared_value[REDUCE_THREADS], shared_square[REDUCE_THREADS];
    double value = 0, square = 0;
    auto read = [&](long long i) { return Pair{output[i], target[i]}; };
    auto use = [&](long long i, Pair pair) {
        Term term = loss_term(loss, pair.output, pair.target);
        if (pair.target != pair.target) term = {0, 0, 0};  // NaN: a missing value
        gradient[i] = term.slope * scale;
        value += term.value;
        square += term.error * term.error;
    };
    visit((long long)block * blockDim.x + threadIdx.x, (long long)blocks * blockDim.x, n, read,
          use);
    value = block_sum(value, shared_value);
    square = block_sum(square, shared_square);
    if (threadIdx.x == 0) {
        parts[block] = value;
        parts[blocks + block] = square;
    }
    if (!is_last_block(ticket, blocks)) return;
    value = sum_parts(parts, blocks, shared_value);
    square = sum_parts(parts + blocks, blocks, shared_square);
    if (threadIdx.x == 0) {
        totals[0] = value;
        totals[1] = square;
    }
}
