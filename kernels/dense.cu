// The dense layer: three matrix products, each with its neighbours in the epilogue.
//
//   dense_forward           y  = act(x @ w + b)
//   dense_backward_input    dx = (dz @ w.T) * act'(saved)
//   dense_backward_weights  dw = x.T @ dz, db = column sums of dz, split over the batch
//
// This is where matmul_ladder.cu arrives. A block computes a BM x BN tile of the product, 256
// threads of TM x TN elements each, and walks along k in steps of BK through two shared buffers:
// while one is multiplied, the next step's elements are on their way from global memory into
// registers. One barrier per step. Elements outside the matrices are read as zeros, so every
// shape is right. Transposes are template flags: they choose which index of an operand is
// contiguous, so that neighbouring threads always read neighbouring addresses.

#include "activation.cuh"

#define THREADS 256

// c (m, n) = A (m, k) @ B (k, n), where A[i][p] is a[i * k + p], or a[p * m + i] if TA;
// and B[p][j] is b[p * n + j], or b[j * k + p] if TB.
template <int BM, int BN, int BK, int TM, int TN, bool TA, bool TB> struct Product {
    static constexpr int COLUMNS = BN / TN;           // of threads
    static constexpr int ROWS = BM / TM;
    static constexpr int LOADS_A = BM * BK / THREADS;  // elements each thread fetches per step
    static constexpr int LOADS_B = BN * BK / THREADS;
    static constexpr int PITCH_A = BM + 1;  // odd: writes along k meet different banks
    static constexpr int PITCH_B = BN + 1;
    static constexpr int SHARED_A = 2 * BK * PITCH_A;
    static constexpr int SHARED_B = 2 * BK * PITCH_B;
    static_assert(COLUMNS * ROWS == THREADS && LOADS_A * THREADS == BM * BK &&
                  LOADS_B * THREADS == BN * BK, "the tiles must divide evenly");

    const REAL *a, *b;
    int m, n, k, row0, column0, k_end;
    REAL sum[TM][TN];
    REAL column_sum = 0;  // of B's column threadIdx.x, where it is wanted
    REAL next_a[LOADS_A], next_b[LOADS_B];

    __device__ Product(const REAL *a_, const REAL *b_, int m_, int n_, int k_, int k_end_)
        : a(a_), b(b_), m(m_), n(n_), k(k_), row0((int)blockIdx.y * BM),
          column0((int)blockIdx.x * BN), k_end(k_end_) {
#pragma unroll
        for (int i = 0; i < TM; i++)
#pragma unroll
            for (int j = 0; j < TN; j++) sum[i][j] = 0;
    }

    // Neighbouring threads take neighbouring elements of the contiguous index.
    __device__ static void place(int load, bool along_k, int width, int &outer, int &p) {
        int e = load * THREADS + (int)threadIdx.x;
        outer = along_k ? e / BK : e % width;
        p = along_k ? e % BK : e / width;
    }

    __device__ void fetch(int k0) {
#pragma unroll
        for (int load = 0; load < LOADS_A; load++) {
            int i, p;
            place(load, !TA, BM, i, p);
            i += row0;
            p += k0;
            bool inside = i < m && p < k_end;
            next_a[load] = inside ? a[TA ? (long long)p * m + i : (long long)i * k + p] : (REAL)0;
        }
#pragma unroll
        for (int load = 0; load < LOADS_B; load++) {
            int j, p;
            place(load, TB, BN, j, p);
            j += column0;
            p += k0;
            bool inside = j < n && p < k_end;
            next_b[load] = inside ? b[TB ? (long long)j * k + p : (long long)p * n + j] : (REAL)0;
        }
    }

    __device__ void store(REAL *tile_a, REAL *tile_b) const {
#pragma unroll
        for (int load = 0; load < LOADS_A; load++) {
            int i, p;
            place(load, !TA, BM, i, p);
            tile_a[p * PITCH_A + i] = next_a[load];
        }
#pragma unroll
        for (int load = 0; load < LOADS_B; load++) {
            int j, p;
            place(load, TB, BN, j, p);
            tile_b[p * PITCH_B + j] = next_b[load];
        }
    }

    // A thread's elements lie ROWS and COLUMNS apart: a warp reads (and later writes) neighbours.
    __device__ void multiply(const REAL *tile_a, const REAL *tile_b) {
        int row = (int)threadIdx.x / COLUMNS, column = (int)threadIdx.x % COLUMNS;
#pragma unroll
        for (int p = 0; p < BK; p++) {
            REAL from_a[TM], from_b[TN];
#pragma unroll
            for (int i = 0; i < TM; i++) from_a[i] = tile_a[p * PITCH_A + row + i * ROWS];
#pragma unroll
            for (int j = 0; j < TN; j++) from_b[j] = tile_b[p * PITCH_B + column + j * COLUMNS];
#pragma unroll
            for (int i = 0; i < TM; i++)
#pragma unroll
                for (int j = 0; j < TN; j++) sum[i][j] = fma(from_a[i], from_b[j], sum[i][j]);
        }
    }

    // Multiplies steps k_begin .. k_end; ``column_sum`` gathers B's column threadIdx.x if asked.
    __device__ void run(int k_begin, REAL *shared_a, REAL *shared_b, bool sum_columns) {
        int buffer = 0;
        fetch(k_begin);
        store(shared_a, shared_b);
        __syncthreads();
        for (int k0 = k_begin; k0 < k_end; k0 += BK) {
            REAL *tile_a = shared_a + buffer * BK * PITCH_A;
            REAL *tile_b = shared_b + buffer * BK * PITCH_B;
            bool more = k0 + BK < k_end;
            if (more) fetch(k0 + BK);
            multiply(tile_a, tile_b);
            if (sum_columns && threadIdx.x < BN)
                for (int p = 0; p < BK; p++) column_sum += tile_b[p * PITCH_B + threadIdx.x];
            buffer ^= 1;
            // the other buffer: everybody left it before the last barrier
            if (more) store(shared_a + buffer * BK * PITCH_A, shared_b + buffer * BK * PITCH_B);
            __syncthreads();
        }
    }

    __device__ int row_of(int i) const { return row0 + (int)threadIdx.x / COLUMNS + i * ROWS; }
    __device__ int column_of(int j) const {
        return column0 + (int)threadIdx.x % COLUMNS + j * COLUMNS;
    }

    // Calls f(offset, column, sum) for each of the thread's elements. A row of sums at a time goes
    // through the thread's own places in shared memory, which a loop can index as it cannot index
    // registers: the activations are compiled TM times, not TM * TN times.
    template <class F> __device__ void each(REAL *shared, F f) const {
        static_assert(TN * THREADS <= SHARED_A, "a row of every thread must fit");
#pragma unroll
        for (int i = 0; i < TM; i++) {
#pragma unroll
            for (int j = 0; j < TN; j++) shared[j * THREADS + threadIdx.x] = sum[i][j];
            int row = row_of(i);
#pragma unroll 1
            for (int j = 0; j < TN; j++) {
                int column = column_of(j);
                if (row < m && column < n)
                    f((long long)row * n + column, column, shared[j * THREADS + threadIdx.x]);
            }
        }
    }

    // Epilogue: y = act(sum + bias), and the sum itself into pre where it is wanted.
    __device__ void finish_forward(const REAL *bias, int activation, REAL *y, REAL *pre,
                                   REAL *shared) const {
        each(shared, [&](long long at, int column, REAL total) {
            REAL z = total + bias[column];
            if (pre) pre[at] = z;
            y[at] = activate(activation, z);
        });
    }

    // Epilogue: dx = sum * act'(saved).
    __device__ void finish_input(int activation, const REAL *saved, REAL *dx, REAL *shared) const {
        each(shared, [&](long long at, int, REAL total) {
            dx[at] = total * activation_slope(activation, saved[at]);
        });
    }

    // Epilogue: this split's part of dw and, from the first row of blocks, of db.
    __device__ void finish_weights(REAL *dw, REAL *db) const {
#pragma unroll
        for (int i = 0; i < TM; i++)
#pragma unroll
            for (int j = 0; j < TN; j++) {
                int row = row_of(i), column = column_of(j);
                if (row < m && column < n) dw[(long long)row * n + column] = sum[i][j];
            }
        int column = column0 + (int)threadIdx.x;
        if (blockIdx.y == 0 && threadIdx.x < BN && column < n) db[column] = column_sum;
    }
};

// Shared memory must be declared in the kernel itself.
#define SHARED_TILES(P) __shared__ REAL shared_a[P::SHARED_A], shared_b[P::SHARED_B]

template <class P>
__device__ void forward(const REAL *x, const REAL *w, const REAL *b, int activation, REAL *y,
                        REAL *pre, int batch, int n_in, int n_out, REAL *shared_a, REAL *shared_b) {
    P product(x, w, batch, n_out, n_in, n_in);
    product.run(0, shared_a, shared_b, false);
    product.finish_forward(b, activation, y, pre, shared_a);
}

template <class P>
__device__ void backward_input(const REAL *dz, const REAL *w, int activation, const REAL *saved,
                               REAL *dx, int batch, int n_in, int n_out, REAL *shared_a,
                               REAL *shared_b) {
    P product(dz, w, batch, n_in, n_out, n_out);
    product.run(0, shared_a, shared_b, false);
    product.finish_input(activation, saved, dx, shared_a);
}

// Split z takes the samples z * per_split .. and writes its own dw and db; sum_splits adds them.
template <class P>
__device__ void backward_weights(const REAL *x, const REAL *dz, REAL *dw, REAL *db, int batch,
                                 int n_in, int n_out, int per_split, REAL *shared_a,
                                 REAL *shared_b) {
    int first = (int)blockIdx.z * per_split;
    int last = first + per_split < batch ? first + per_split : batch;
    P product(x, dz, n_in, n_out, batch, last);
    product.run(first, shared_a, shared_b, blockIdx.y == 0);
    product.finish_weights(dw + (long long)blockIdx.z * n_in * n_out,
                           db + (long long)blockIdx.z * n_out);
}

// 32 x 32 tiles, 2 x 2 elements a thread: many blocks, for small matrices.

extern "C" __global__ void __launch_bounds__(THREADS) dense_forward_32(
    const REAL *x, const REAL *w, const REAL *b, int activation, REAL *y, REAL *pre, int batch,
    int n_in, int n_out) {
    using P = Product<32, 32, 16, 2, 2, false, false>;
    SHARED_TILES(P);
    forward<P>(x, w, b, activation, y, pre, batch, n_in, n_out, shared_a, shared_b);
}

extern "C" __global__ void __launch_bounds__(THREADS) dense_backward_input_32(
    const REAL *dz, const REAL *w, int activation, const REAL *saved, REAL *dx, int batch,
    int n_in, int n_out) {
    using P = Product<32, 32, 16, 2, 2, false, true>;
    SHARED_TILES(P);
    backward_input<P>(dz, w, activation, saved, dx, batch, n_in, n_out, shared_a, shared_b);
}

extern "C" __global__ void __launch_bounds__(THREADS) dense_backward_weights_32(
    const REAL *x, const REAL *dz, REAL *dw, REAL *db, int batch, int n_in, int n_out,
    int per_split) {
    using P = Product<32, 32, 16, 2, 2, true, false>;
    SHARED_TILES(P);
    backward_weights<P>(x, dz, dw, db, batch, n_in, n_out, per_split, shared_a, shared_b);
}

// 64 x 64 tiles, 4 x 4 elements a thread.

extern "C" __global__ void __launch_bounds__(THREADS) dense_forward_64(
    const REAL *x, const REAL *w, const REAL *b, int activation, REAL *y, REAL *pre, int batch,
    int n_in, int n_out) {
    using P = Product<64, 64, 16, 4, 4, false, false>;
    SHARED_TILES(P);
    forward<P>(x, w, b, activation, y, pre, batch, n_in, n_out, shared_a, shared_b);
}

extern "C" __global__ void __launch_bounds__(THREADS) dense_backward_input_64(
    const REAL *dz, const REAL *w, int activation, const REAL *saved, REAL *dx, int batch,
    int n_in, int n_out) {
    using P = Product<64, 64, 16, 4, 4, false, true>;
    SHARED_TILES(P);
    backward_input<P>(dz, w, activation, saved, dx, batch, n_in, n_out, shared_a, shared_b);
}

extern "C" __global__ void __launch_bounds__(THREADS) dense_backward_weights_64(
    const REAL *x, const REAL *dz, REAL *dw, REAL *db, int batch, int n_in, int n_out,
    int per_split) {
    using P = Product<64, 64, 16, 4, 4, true, false>;
    SHARED_TILES(P);
    backward_weights<P>(x, dz, dw, db, batch, n_in, n_out, per_split, shared_a, shared_b);
}

// 128 x 128 tiles, 8 x 8 elements a thread: the most arithmetic per byte, for large matrices.

extern "C" __global__ void __launch_bounds__(THREADS) dense_forward_128(
    const REAL *x, const REAL *w, const REAL *b, int activation, REAL *y, REAL *pre, int batch,
    int n_in, int n_out) {
    using P = Product<128, 128, 8, 8, 8, false, false>;
    SHARED_TILES(P);
    forward<P>(x, w, b, activation, y, pre, batch, n_in, n_out, shared_a, shared_b);
}

extern "C" __global__ void __launch_bounds__(THREADS) dense_backward_input_128(
    const REAL *dz, const REAL *w, int activation, const REAL *saved, REAL *dx, int batch,
    int n_in, int n_out) {
    using P = Product<128, 128, 8, 8, 8, false, true>;
    SHARED_TILES(P);
    backward_input<P>(dz, w, activation, saved, dx, batch, n_in, n_out, shared_a, shared_b);
}

extern "C" __global__ void __launch_bounds__(THREADS) dense_backward_weights_128(
    const REAL *x, const REAL *dz, REAL *dw, REAL *db, int batch, int n_in, int n_out,
    int per_split) {
    using P = Product<128, 128, 8, 8, 8, true, false>;
    SHARED_TILES(P);
    backward_weights<P>(x, dz, dw, db, batch, n_in, n_out, per_split, shared_a, shared_b);
}

// out[i] = the sum of parts[split][i], always in the same order: two runs give the same bits.
extern "C" __global__ void sum_splits(const REAL *parts, int splits, long long n, REAL *out) {
    long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        REAL sum = 0;
        for (int split = 0; split < splits; split++) sum += parts[split * n + i];
        out[i] = sum;
    }
}
