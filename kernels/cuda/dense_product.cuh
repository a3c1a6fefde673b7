// A matrix product, tile by tile, and what becomes of its sums.
//
// A block computes a BM x BN tile of the product with 256 threads, and walks along k in steps of BK
// through a ring of buffers in shared memory: while one is multiplied, the tiles of the next steps
// are on their way from global memory to the others. One barrier per step. Elements outside the
// matrices are read as zeros, so every shape is right. Transposes are template flags: they choose
// which index of an operand is contiguous, so that neighbouring threads always read neighbouring
// addresses, 16 bytes at a time where the matrices allow it.
//
// How two tiles are multiplied is left to Sums, a thread's share of the result:
//
//   BM, BN, BK; TA, TB            the tile, a step along k; which operands are transposed
//   BUFFERS                       in the ring
//   at_a(i, p), at_b(p, j)        where in shared memory an operand's element lies
//   SIZE_A, SIZE_B                elements of shared memory that a tile takes
//   KEEPS_A, KEEPS_B              is the operand's contiguous index contiguous there as well?
//   multiply(tile_a, tile_b)      adds the product of two tiles
//   value[TM][TN]                 the sums; value[i] of a warp's lanes are LANE_ROWS rows:
//   row(i, r), column(c)          where in the tile these rows lie, and their columns
//   lane_row(), lane_column(j)    which of them value[i][j] is

#include "activation.cuh"
#include "async_copy.cuh"

#define THREADS 256

// c (m, n) = A (m, k) @ B (k, n), where A[i][p] is a[i * k + p], or a[p * m + i] if TA;
// and B[p][j] is b[p * n + j], or b[j * k + p] if TB.
template <class Sums> struct Product {
    static constexpr int BM = Sums::BM, BN = Sums::BN, BK = Sums::BK;
    static constexpr bool TA = Sums::TA, TB = Sums::TB;
    static constexpr int VECTOR = 16 / sizeof(REAL);
    static constexpr int BUFFERS = Sums::BUFFERS;
    static constexpr int SHARED_A = BUFFERS * Sums::SIZE_A;
    static constexpr int SHARED_B = BUFFERS * Sums::SIZE_B;

    const REAL *a, *b;  // where the tiles of the next step to be copied begin
    int m, n, width_a, width_b, row0, column0, left;  // left: terms that are not copied yet
    bool vectors_a, vectors_b;  // may they be copied 16 bytes at a time?
    Sums sums;
    REAL column_sum = 0;  // of B's column threadIdx.x, where it is wanted

    // Of the k terms of each sum, those from ``begin`` on and before ``end``.
    __device__ Product(const REAL *a_, const REAL *b_, int m_, int n_, int k, int begin, int end)
        : m(m_), n(n_), width_a(TA ? m : k), width_b(TB ? k : n), row0((int)blockIdx.y * BM),
          column0((int)blockIdx.x * BN), left(end - begin) {
        vectors_a = Sums::KEEPS_A && width_a % VECTOR == 0 && (size_t)a_ % 16 == 0;
        vectors_b = Sums::KEEPS_B && width_b % VECTOR == 0 && (size_t)b_ % 16 == 0;
        a = a_ + (TA ? (long long)begin * m + row0 : (long long)row0 * k + begin);
        b = b_ + (TB ? (long long)column0 * k + begin : (long long)begin * n + column0);
#pragma unroll
        for (int i = 0; i < Sums::TM; i++)
#pragma unroll
            for (int j = 0; j < Sums::TN; j++) sums.value[i][j] = 0;
    }

    // Begins to copy the tile at ``from``, N elements at a time: OUTER rows or columns, of which
    // the matrix has ``there``, by BK terms, of which ``left`` are there. ``at(outer, p)`` is an
    // element's place in shared memory.
    template <int N, int OUTER, bool ALONG_K, class At>
    __device__ static void copy(const REAL *from, int width, int there, int left, At at) {
        constexpr int IN_ROW = (ALONG_K ? BK : OUTER) / N, COPIES = OUTER * BK / N;
        static_assert(THREADS % IN_ROW == 0, "the threads must copy whole rows");
        int thread = (int)threadIdx.x, column = thread % IN_ROW * N;
        if (COPIES < THREADS && thread >= COPIES) return;
#pragma unroll
        for (int first = 0; first < COPIES; first += THREADS) {
            int row = thread / IN_ROW + first / IN_ROW;
            int outer = ALONG_K ? row : column, p = ALONG_K ? column : row;
            begin_copy<N>(at(outer, p), from + ((long long)row * width + column),
                          outer < there && p < left);
        }
    }

    // Begins to copy the tiles of the next step.
    __device__ void copy(REAL *tile_a, REAL *tile_b) {
        auto at_a = [&](int i, int p) { return tile_a + Sums::at_a(i, p); };
        auto at_b = [&](int j, int p) { return tile_b + Sums::at_b(p, j); };
        if (Sums::KEEPS_A && vectors_a)
            copy<VECTOR, BM, !TA>(a, width_a, m - row0, left, at_a);
        else
            copy<1, BM, !TA>(a, width_a, m - row0, left, at_a);
        if (Sums::KEEPS_B && vectors_b)
            copy<VECTOR, BN, TB>(b, width_b, n - column0, left, at_b);
        else
            copy<1, BN, TB>(b, width_b, n - column0, left, at_b);
        a += TA ? (long long)BK * width_a : BK;
        b += TB ? BK : (long long)BK * width_b;
        left -= BK;
    }

    // Multiplies all terms; ``column_sum`` gathers B's column threadIdx.x if asked.
    __device__ void run(REAL *shared_a, REAL *shared_b, bool sum_columns) {
        int terms = left;
#pragma unroll
        for (int i = 0; i < BUFFERS - 1; i++) {
            if (left > 0) copy(shared_a + i * Sums::SIZE_A, shared_b + i * Sums::SIZE_B);
            close_copies();
        }
        int full = 0, empty = BUFFERS - 1;
        for (; terms > 0; terms -= BK) {
            wait_for_copies<BUFFERS - 2>();
            __syncthreads();  // the full buffer is there for all, and all have left the empty one
            if (left > 0) copy(shared_a + empty * Sums::SIZE_A, shared_b + empty * Sums::SIZE_B);
            close_copies();
            const REAL *tile_a = shared_a + full * Sums::SIZE_A;
            const REAL *tile_b = shared_b + full * Sums::SIZE_B;
            sums.multiply(tile_a, tile_b);
            if (sum_columns && threadIdx.x < BN)
                for (int p = 0; p < BK; p++) column_sum += tile_b[Sums::at_b(p, threadIdx.x)];
            empty = full;
            full = full + 1 < BUFFERS ? full + 1 : 0;
        }
        __syncthreads();  // shared memory is free again
    }

    // Calls f(offset, column, sum) for each element of the block's tile. A row of sums of every
    // thread at a time goes through shared memory. There the lanes of a warp trade places, so that
    // neighbours write neighbours; and a loop can index it as it cannot index registers: the
    // activations are compiled TM times, not TM * TN times.
    template <class F> __device__ void each(REAL *shared, F f) const {
        constexpr int ELEMENTS = 32 * Sums::TN, COLUMNS = ELEMENTS / Sums::LANE_ROWS;  // of a warp
        static_assert(THREADS / 32 * ELEMENTS <= SHARED_A, "a row of every thread must fit");
        REAL *rows = shared + threadIdx.x / 32 * ELEMENTS;
#pragma unroll
        for (int i = 0; i < Sums::TM; i++) {
#pragma unroll
            for (int j = 0; j < Sums::TN; j++)
                rows[Sums::lane_row() * COLUMNS + Sums::lane_column(j)] = sums.value[i][j];
            __syncwarp();
#pragma unroll 1
            for (int e = (int)threadIdx.x % 32; e < ELEMENTS; e += 32) {
                int row = row0 + Sums::row(i, e / COLUMNS);
                int column = column0 + Sums::column(e % COLUMNS);
                if (row < m && column < n) f((long long)row * n + column, column, rows[e]);
            }
            __syncwarp();
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

    // Epilogue: the sums as they are, of which there may be other parts.
    __device__ void finish_part(REAL *part, REAL *shared) const {
        each(shared, [&](long long at, int, REAL total) { part[at] = total; });
    }

    // Epilogue: the column sums of B, from the first row of blocks.
    __device__ void finish_columns(REAL *db) const {
        int column = column0 + (int)threadIdx.x;
        if (blockIdx.y == 0 && threadIdx.x < BN && column < n) db[column] = column_sum;
    }
};
