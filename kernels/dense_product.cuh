// A matrix product, tile by tile, and what becomes of its sums.
//
// A block computes a BM x BN tile of the product with 256 threads, and walks along k in steps of BK
// through two shared buffers: while one is multiplied, the next step's elements are on their way
// from global memory into registers. One barrier per step. Elements outside the matrices are read
// as zeros, so every shape is right. Transposes are template flags: they choose which index of an
// operand is contiguous, so that neighbouring threads always read neighbouring addresses.
//
// How two tiles are multiplied is left to Sums, a thread's share of the result:
//
//   BM, BN, BK; TA, TB            the tile, a step along k; which operands are transposed
//   value[TM][TN]                 the sums
//   row_of(i), column_of(j)       where in the tile value[i][j] belongs
//   at_a(i, p), at_b(p, j)        where in shared memory an operand's element lies
//   SIZE_A, SIZE_B                elements of shared memory that a tile takes
//   multiply(tile_a, tile_b)      adds the product of two tiles

#include "activation.cuh"

#define THREADS 256

// c (m, n) = A (m, k) @ B (k, n), where A[i][p] is a[i * k + p], or a[p * m + i] if TA;
// and B[p][j] is b[p * n + j], or b[j * k + p] if TB.
template <class Sums> struct Product {
    static constexpr int BM = Sums::BM, BN = Sums::BN, BK = Sums::BK;
    static constexpr bool TA = Sums::TA, TB = Sums::TB;
    static constexpr int LOADS_A = BM * BK / THREADS;  // elements each thread fetches per step
    static constexpr int LOADS_B = BN * BK / THREADS;
    static constexpr int SHARED_A = 2 * Sums::SIZE_A;
    static constexpr int SHARED_B = 2 * Sums::SIZE_B;
    static_assert(LOADS_A * THREADS == BM * BK && LOADS_B * THREADS == BN * BK,
                  "the tiles must divide evenly");

    const REAL *a, *b;
    int m, n, k, row0, column0, k_end;
    Sums sums;
    REAL column_sum = 0;  // of B's column threadIdx.x, where it is wanted
    REAL next_a[LOADS_A], next_b[LOADS_B];

    __device__ Product(const REAL *a_, const REAL *b_, int m_, int n_, int k_, int k_end_)
        : a(a_), b(b_), m(m_), n(n_), k(k_), row0((int)blockIdx.y * BM),
          column0((int)blockIdx.x * BN), k_end(k_end_) {
#pragma unroll
        for (int i = 0; i < Sums::TM; i++)
#pragma unroll
            for (int j = 0; j < Sums::TN; j++) sums.value[i][j] = 0;
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
            tile_a[Sums::at_a(i, p)] = next_a[load];
        }
#pragma unroll
        for (int load = 0; load < LOADS_B; load++) {
            int j, p;
            place(load, TB, BN, j, p);
            tile_b[Sums::at_b(p, j)] = next_b[load];
        }
    }

    // Multiplies steps k_begin .. k_end; ``column_sum`` gathers B's column threadIdx.x if asked.
    __device__ void run(int k_begin, REAL *shared_a, REAL *shared_b, bool sum_columns) {
        int buffer = 0;
        fetch(k_begin);
        store(shared_a, shared_b);
        __syncthreads();
        for (int k0 = k_begin; k0 < k_end; k0 += BK) {
            REAL *tile_a = shared_a + buffer * Sums::SIZE_A;
            REAL *tile_b = shared_b + buffer * Sums::SIZE_B;
            bool more = k0 + BK < k_end;
            if (more) fetch(k0 + BK);
            sums.multiply(tile_a, tile_b);
            if (sum_columns && threadIdx.x < BN)
                for (int p = 0; p < BK; p++) column_sum += tile_b[Sums::at_b(p, threadIdx.x)];
            buffer ^= 1;
            // the other buffer: everybody left it before the last barrier
            if (more) store(shared_a + buffer * Sums::SIZE_A, shared_b + buffer * Sums::SIZE_B);
            __syncthreads();
        }
    }

    // Calls f(offset, column, sum) for each of the thread's elements. A row of sums at a time goes
    // through the thread's own places in shared memory, which a loop can index as it cannot index
    // registers: the activations are compiled TM times, not TM * TN times.
    template <class F> __device__ void each(REAL *shared, F f) const {
        static_assert(Sums::TN * THREADS <= SHARED_A, "a row of every thread must fit");
#pragma unroll
        for (int i = 0; i < Sums::TM; i++) {
#pragma unroll
            for (int j = 0; j < Sums::TN; j++)
                shared[j * THREADS + threadIdx.x] = sums.value[i][j];
            int row = row0 + Sums::row_of(i);
#pragma unroll 1
            for (int j = 0; j < Sums::TN; j++) {
                int column = column0 + Sums::column_of(j);
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
        for (int i = 0; i < Sums::TM; i++)
#pragma unroll
            for (int j = 0; j < Sums::TN; j++) {
                int row = row0 + Sums::row_of(i), column = column0 + Sums::column_of(j);
                if (row < m && column < n) dw[(long long)row * n + column] = sums.value[i][j];
            }
        int column = column0 + (int)threadIdx.x;
        if (blockIdx.y == 0 && threadIdx.x < BN && column < n) db[column] = column_sum;
    }
};
