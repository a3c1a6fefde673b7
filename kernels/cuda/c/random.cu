// Random numbers: each a function of its position alone (see reference/random.py).
//
// A thread turns a Philox block of four words into its numbers: four of 32 bits or two of 64.
// Words, uniforms, bernoullis and permutations have the very bits of the NumPy column; normals
// differ in the last digits of log, sin and cos.

#include "elementwise.cuh"
#include "philox.cuh"

#define PER_BLOCK (REAL_IS_DOUBLE ? 2 : 4)

// The thread's Philox blocks, up to the one that holds number n - 1.
#define FOR_EACH_BLOCK(block, per_block)                                                    \
    const long long stride = (long long)gridDim.x * blockDim.x;                             \
    for (long long block = (long long)blockIdx.x * blockDim.x + threadIdx.x;                \
         block * (per_block) < n; block += stride)

// Rounded one after the other, never fused into one: the bits are the same everywhere.
__device__ inline float scale_and_shift(float u, float scale, float shift) {
    return __fadd_rn(__fmul_rn(u, scale), shift);
}
__device__ inline double scale_and_shift(double u, double scale, double shift) {
    return __dadd_rn(__dmul_rn(u, scale), shift);
}

// Uniforms in [0, 1), 24 bits of one word or 53 of two: exact.
__device__ inline void unit_uniforms(const Words &words, REAL *unit) {
#if REAL_IS_DOUBLE
    for (int i = 0; i < 2; i++)
        unit[i] = ((words.word[2 * i] >> 5) * 67108864.0 + (words.word[2 * i + 1] >> 6)) *
                  (1 / 9007199254740992.0);
#else
    for (int i = 0; i < 4; i++) unit[i] = (float)(words.word[i] >> 8) * (1 / 16777216.0f);
#endif
}

extern "C" __global__ void random_bits(const unsigned *state, unsigned *out, long long n) {
    FOR_EACH_BLOCK(block, 4) {
        Words words = stream_words(state, block);
        for (int i = 0; i < 4 && 4 * block + i < n; i++) out[4 * block + i] = words.word[i];
    }
}

// out = low + width u
extern "C" __global__ void random_uniform(const unsigned *state, REAL low, REAL width, REAL *out,
                                          long long n) {
    FOR_EACH_BLOCK(block, PER_BLOCK) {
        REAL unit[PER_BLOCK];
        unit_uniforms(stream_words(state, block), unit);
        long long first = block * PER_BLOCK;
#pragma unroll
        for (int i = 0; i < PER_BLOCK; i++)
            if (first + i < n) out[first + i] = scale_and_shift(unit[i], width, low);
    }
}

// Standard normals: two uniforms make two of them (Box and Muller 1958).
__device__ inline void unit_normals(const Words &words, REAL *normal) {
    const REAL half_bit = REAL_IS_DOUBLE ? (REAL)(0.5 / 9007199254740992.0)
                                         : (REAL)(0.5 / 16777216.0);
    unit_uniforms(words, normal);
#pragma unroll
    for (int i = 0; i < PER_BLOCK; i += 2) {
        REAL radius = sqrt(-2 * log(normal[i] + half_bit));  // never log(0)
        REAL sine, cosine;
        sincospi(2 * normal[i + 1], &sine, &cosine);  // the angle in units of pi is exact
        normal[i] = radius * cosine;
        normal[i + 1] = radius * sine;
    }
}

// write(i, g) for each i < n, with a standard normal g of its own.
template <typename Write>
__device__ inline void for_each_normal(const unsigned *state, long long n, Write write) {
    FOR_EACH_BLOCK(block, PER_BLOCK) {
        REAL normal[PER_BLOCK];
        unit_normals(stream_words(state, block), normal);
        long long first = block * PER_BLOCK;
#pragma unroll
        for (int i = 0; i < PER_BLOCK; i++)
            if (first + i < n) write(first + i, normal[i]);
    }
}

// out = mean + std g
extern "C" __global__ void random_normal(const unsigned *state, REAL mean, REAL std, REAL *out,
                                         long long n) {
    for_each_normal(state, n,
                    [&](long long i, REAL g) { out[i] = scale_and_shift(g, std, mean); });
}

// out = x + std g; std lies in device memory, so that a recorded step can be replayed with another
extern "C" __global__ void add_normal(const unsigned *state, const double *std, const REAL *x,
                                      REAL *out, long long n) {
    const REAL deviation = (REAL)std[0];
    for_each_normal(state, n,
                    [&](long long i, REAL g) { out[i] = scale_and_shift(g, deviation, x[i]); });
}

// y = mean + exp(log_variance / 2) g; a row of x has ``code`` means, then as many log-variances
extern "C" __global__ void sample_normal(const unsigned *state, const REAL *x, int code, REAL *y,
                                         long long n) {
    for_each_normal(state, n, [&](long long i, REAL g) {
        const REAL *mean = x + i + i / code * code;
        y[i] = scale_and_shift(g, exp(mean[code] / 2), *mean);
    });
}

// y = mean
extern "C" __global__ void take_means(const REAL *x, int code, REAL *y, long long n) {
    auto read = [&](long long i) { return x[i + i / code * code]; };
    for_each(n, read, [&](long long i, REAL mean) { y[i] = mean; });
}

struct Sampled {
    REAL mean, y, dy, dx_mean, dx_log_variance;
};

// dx += [dy, dy (y - mean) / 2]
extern "C" __global__ void sample_normal_backward(const REAL *x, int code, const REAL *y,
                                                  const REAL *dy, REAL *dx, long long n) {
    auto read = [&](long long i) {
        long long at = i + i / code * code;
        return Sampled{x[at], y[i], dy[i], dx[at], dx[at + code]};
    };
    for_each(n, read, [&](long long i, Sampled s) {
        long long at = i + i / code * code;
        dx[at] = s.dx_mean + s.dy;
        dx[at + code] = s.dx_log_variance + s.dy * ((s.y - s.mean) / 2);
    });
}

// out = 1 where word < threshold, else 0; threshold = probability 2^32
extern "C" __global__ void random_bernoulli(const unsigned *state, unsigned long long threshold,
                                            REAL *out, long long n) {
    FOR_EACH_BLOCK(block, 4) {
        Words words = stream_words(state, block);
        for (int i = 0; i < 4 && 4 * block + i < n; i++)
            out[4 * block + i] = words.word[i] < threshold ? (REAL)1 : (REAL)0;
    }
}

// MurmurHash3's finaliser (Appleby 2011) of value ^ key
__device__ inline unsigned mix(unsigned value, unsigned key) {
    unsigned h = value ^ key;
    h ^= h >> 16;
    h *= 0x85EBCA6Bu;
    h ^= h >> 13;
    h *= 0xC2B2AE35u;
    return h ^ (h >> 16);
}

// out[i] = p(start + i), p a permutation of 0 .. n - 1: a Feistel network over two halves of
// ``bits`` bits, walked until it comes out below n
extern "C" __global__ void random_permutation(const unsigned *state, unsigned long long n,
                                              long long start, int bits, long long *out,
                                              long long size) {
    __shared__ unsigned keys[FEISTEL_ROUNDS];
    if (threadIdx.x < FEISTEL_ROUNDS / 4) {
        Words words = stream_words(state, threadIdx.x, FEISTEL_STREAM);
        for (int i = 0; i < 4; i++) keys[4 * threadIdx.x + i] = words.word[i];
    }
    __syncthreads();
    const unsigned mask = (unsigned)((1ull << bits) - 1);
    const long long stride = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < size; i += stride) {
        unsigned long long value = (unsigned long long)(start + i);
        do {
            unsigned left = (unsigned)(value >> bits), right = (unsigned)value & mask;
            for (int round = 0; round < FEISTEL_ROUNDS; round++) {
                unsigned mixed = left ^ (mix(right, keys[round]) & mask);
                left = right;
                right = mixed;
            }
            value = (unsigned long long)left << bits | right;
        } while (value >= n);
        out[i] = (long long)value;
    }
}
