// Activations by themselves; inside a net they are the epilogues of dense.cu. Sums. The k greatest of
// a row.

#include "activation.cuh"
#include "elementwise.cuh"

struct Slope {
    REAL dy, saved;
};

extern "C" __global__ void activation_forward(const REAL *x, int activation, REAL *y, long long n) {
    auto read = [&](long long i) { return x[i]; };
    for_each(n, read, [&](long long i, REAL x_i) { y[i] = activate(activation, x_i); });
}

// dx may be dy: each element is read before it is written, by the same thread
extern "C" __global__ void activation_backward(const REAL *dy, int activation, const REAL *saved,
                                               REAL *dx, long long n) {
    auto read = [&](long long i) { return Slope{dy[i], saved[i]}; };
    for_each(n, read, [&](long long i, Slope s) {
        dx[i] = s.dy * activation_slope(activation, s.saved);
    });
}

// dx may be dy too
extern "C" __global__ void activation_curvature(const REAL *dy, int activation, const REAL *saved,
                                                REAL *dx, long long n) {
    auto read = [&](long long i) { return Slope{dy[i], saved[i]}; };
    for_each(n, read, [&](long long i, Slope s) {
        dx[i] = s.dy * activation_bend(activation, s.saved);
    });
}

struct Summands {
    REAL x, y;
};

// out may be x, or y of x's size; where y is a row for all, ``period`` is its length
extern "C" __global__ void add(const REAL *x, const REAL *y, REAL *out, long long period,
                               long long n) {
    auto read = [&](long long i) { return Summands{x[i], y[period < n ? i % period : i]}; };
    for_each(n, read, [&](long long i, Summands s) { out[i] = s.x + s.y; });
}

// ---- the k greatest of a row

#define SELECT_THREADS 64  // of a block, which takes a row at a time

#if REAL_IS_DOUBLE
typedef long long Key;
#define INFINITE_KEY 0x7ff0000000000000ll
#define KEY_BITS(x) __double_as_longlong(x)
#else
typedef int Key;
#define INFINITE_KEY 0x7f800000
#define KEY_BITS(x) __float_as_int(x)
#endif
#define LEAST_KEY ((Key)((Key)1 << (8 * sizeof(Key) - 2)) * -2)

// Integers in the order of the numbers: 0 and -0 have one, and so have infinity and NaN.
__device__ inline Key key_of(REAL x) {
    if (x != x) return INFINITE_KEY;
    Key bits = x == 0 ? 0 : KEY_BITS(x);
    return bits < 0 ? bits ^ ~LEAST_KEY : bits;
}

__device__ inline bool chosen(Key key, int column, Key least, int stop) {
    return key > least || (key == least && column < stop);
}

// How many columns of the row x are ``chosen``; every thread of the block gets the number.
__device__ inline int count_chosen(const REAL *x, int columns, Key least, int stop, int *shared) {
    int count = 0, total = 0;
#pragma unroll 2
    for (int j = (int)threadIdx.x; j < columns; j += SELECT_THREADS)
        count += chosen(key_of(x[j]), j, least, stop);
    shared[threadIdx.x] = count;
    __syncthreads();
#pragma unroll 4  // all of it takes more registers than there are
    for (int t = 0; t < SELECT_THREADS; t++) total += shared[t];
    __syncthreads();
    return total;
}

// y = x where it is among the k <= columns greatest of its row, else 0; dropped = 0 there, else 1.
//
// The k-th greatest key is found bit by bit, from the highest (radix selection, by halves), until
// k keys are no less; of those that equal it the columns before ``stop``, found in the same way.
extern "C" __global__ void __launch_bounds__(SELECT_THREADS)
    top_k(const REAL *x, int k, REAL *y, REAL *dropped, int columns, int rows) {
    __shared__ int shared[SELECT_THREADS];
    for (int row = (int)blockIdx.x; row < rows; row += (int)gridDim.x) {
        const long long first = (long long)row * columns;
        Key least = LEAST_KEY, candidate = 0, step = LEAST_KEY / -2;
        int count = columns, stop = columns;
        while (count != k) {
            int more = count_chosen(x + first, columns, candidate, columns, shared);
            if (more >= k) {
                least = candidate;
                count = more;
            }
            if (step == 0) break;
            candidate = least + step;
            step /= 2;
        }
        if (count > k) {  // several equal the least
            stop = 0;
            for (int some = 1 << 30; some > 0; some /= 2)
                if (some <= columns - stop &&
                    count_chosen(x + first, columns, least, stop + some, shared) <= k)
                    stop += some;
        }
        for (int j = (int)threadIdx.x; j < columns; j += SELECT_THREADS) {
            REAL value = x[first + j];
            bool kept = chosen(key_of(value), j, least, stop);
            y[first + j] = kept ? value : (REAL)0;
            dropped[first + j] = kept ? (REAL)0 : (REAL)1;
        }
    }
}
