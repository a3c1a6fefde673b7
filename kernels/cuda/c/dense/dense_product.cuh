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
#include "last_block.cuh"

#define THREADS 256

// x, worked out here: else the compiler does so in every step of the loop that uses it.
__device__ inline int once(int x) {
#ifdef __CUDA_ARCH__
    asm volatile("" : "+r"(x));
#endif
    return x;
}

// So many bytes past x: an offset that changes from step to step need not be multiplied out.
__device__ inline const REAL *past(const REAL *x, int bytes) {
    return (const REAL *)((const char *)x + bytes);
}

// A block's place in the work that a product is: a tile of so many columns of them, and a part of
// its sums. Of a launch that is one product these are the block's own.
struct Place {
    int column, row, part, columns, parts;
};
__device__ inline Place own_place() {
    return {(int)blockIdx.x, (int)blockIdx.y, (int)blockIdx.z, (int)gridDim.x, (int)gridDim.z};
}

// c (m, n) = A (m, k) @ B (k, n), where A[i][p] is a[i * k + p], or a[p * m + i] if TA;
// and B[p][j] is b[p * n + j], or b[j * k + p] if TB.
template <class Sums> struct Product {
    static constexpr int BM = Sums::BM, BN = Sums::BN, BK = Sums::BK;
    static constexpr bool TA = Sums::TA, TB = Sums::TB;
    static constexpr int VECTOR = 16 / sizeof(REAL);
    static constexpr int BUFFERS = Sums::BUFFERS;
    static constexpr int SIZE = Sums::SIZE_A + Sums::SIZE_B;  // of a buffer: a tile of each
    static constexpr int SHARED = BUFFERS * SIZE;

    static constexpr bool ADDS_PARTS = BM < 128;  // the largest tile has no registers left for it

    // A thread's part in copying an operand's tiles: OUTER rows or columns by BK terms of a matrix
    // whose rows are ``width`` wide. Neighbouring threads copy neighbours, along k at most 8: these
    // are a sector of 32 bytes, and where the tile is turned round, 8 terms of 4 rows go to 32
    // banks. A thread's copies lie whole rows apart, so that an address is the one before and a
    // step, or side by side.
    template <int OUTER, bool ALONG_K> struct Share {
        const REAL *from;  // its first copy of the next step
        int first;         // where in a tile that goes
        int width, there;  // rows or columns that the matrix has from the tile's first on
        bool vectors;      // 16 bytes at a time?

        static constexpr int LENGTH = ALONG_K ? BK : OUTER, LINES = ALONG_K ? OUTER : BK;
        template <int N>
        static constexpr int ACROSS = ALONG_K && LENGTH > 8 * N ? 8 : LENGTH / N;  // threads
        template <int N> static constexpr int ROWS = THREADS / ACROSS<N>;  // between two copies
        template <int N> __device__ static int row() { return (int)(threadIdx.x / ACROSS<N>); }
        template <int N> __device__ static int column() {
            return (int)(threadIdx.x % ACROSS<N>) * N;
        }

        template <class At>
        __device__ Share(const REAL *tile, int width_, int there_, bool vectors_, At at)
            : width(width_), there(there_), vectors(vectors_) {
            int r = vectors ? row<VECTOR>() : row<1>();
            int c = vectors ? column<VECTOR>() : column<1>();
            from = tile + ((long long)r * width + c);
            first = ALONG_K ? at(r, c) : at(c, r);
        }

        // Begins to copy the tile of a step of which ``left`` terms are there.
        template <int N, bool WHOLE, class At>
        __device__ void begin(Destination to, int left, At at) const {
            static_assert(THREADS % ACROSS<N> == 0, "the threads must copy whole rows");
            if (ROWS<N> > LINES && row<N>() >= LINES) return;
            const REAL *next = from;
#pragma unroll
            for (int r = 0; r < LINES; r += ROWS<N>) {
#pragma unroll
                for (int c = 0; c < LENGTH; c += ACROSS<N> * N) {
                    bool wanted = WHOLE || (row<N>() + r < (ALONG_K ? there : left) &&
                                            column<N>() + c < (ALONG_K ? left : there));
                    int on = (ALONG_K ? at(r, c) : at(c, r)) * (int)sizeof(REAL);
                    begin_copy<N>(to + on, next, wanted);
                    next += ACROSS<N> * N;
                }
                next += (long long)ROWS<N> * width - LENGTH;
            }
        }

        template <bool MAY_KEEP, bool WHOLE, bool FEWEST, class At>
        __device__ void copy(Destination to, int left, At at) const {
            if (MAY_KEEP && (FEWEST || vectors))
                begin<VECTOR, WHOLE>(to, left, at);
            else
                begin<1, WHOLE>(to, left, at);
        }

        __device__ void advance() { from += ALONG_K ? BK : (long long)BK * width; }
    };

    const Place place;
    int m, n, row0, column0, terms;  // terms that are not multiplied yet
    Share<BM, !TA> a;
    Share<BN, TB> b;
    Sums sums;
    REAL column_sum = 0;  // of B's column threadIdx.x, where it is wanted
    const REAL *parts = nullptr;  // of the sums, where all of them are in memory

    __device__ static int place_a(int i, int p) { return Sums::at_a(i, p); }
    __device__ static int place_b(int j, int p) { return Sums::at_b(p, j); }
    __device__ static bool aligned(const REAL *x, int width) {
        return width % VECTOR == 0 && (size_t)x % 16 == 0;
    }

    // Of the k terms of each sum, ``per_part`` from begin = place.part * per_part on.
    __device__ Product(Place place_, const REAL *a_, const REAL *b_, int m_, int n_, int k,
                       int per_part)
        : Product(place_, a_, b_, m_, n_, k, place_.part * per_part, per_part) {}
    __device__ Product(Place place_, const REAL *a_, const REAL *b_, int m_, int n_, int k,
                       int begin, int per_part)
        : place(place_), m(m_), n(n_), row0(place_.row * BM), column0(place_.column * BN),
          terms(min(per_part, k - begin)),
          a(a_ + (TA ? (long long)begin * m_ + row0 : (long long)row0 * k + begin), TA ? m_ : k,
            m_ - row0, Sums::KEEPS_A && aligned(a_, TA ? m_ : k), place_a),
          b(b_ + (TB ? (long long)column0 * k + begin : (long long)begin * n_ + column0),
            TB ? k : n_, n_ - column0, Sums::KEEPS_B && aligned(b_, TB ? k : n_), place_b) {
#pragma unroll
        for (int i = 0; i < Sums::TM; i++)
#pragma unroll
            for (int j = 0; j < Sums::TN; j++) sums.value[i][j] = 0;
    }

    // Begins to copy the tiles of the next step, of which ``left`` terms are there. WHOLE: all
    // elements of both are, so nothing is asked of each. FEWEST: nor is it asked whether what may
    // keep its order is copied 16 bytes at a time. It is.
    template <bool WHOLE, bool FEWEST>
    __device__ void copy(Destination to_a, Destination to_b, int left) const {
        a.template copy<Sums::KEEPS_A, WHOLE, FEWEST>(to_a, left, place_a);
        b.template copy<Sums::KEEPS_B, WHOLE, FEWEST>(to_b, left, place_b);
    }

    // Multiplies all terms; ``column_sum`` gathers B's column threadIdx.x if asked.
    __device__ void run(REAL *shared, bool sum_columns) {
        constexpr int AHEAD = (BUFFERS - 1) * BK;  // terms whose copies have begun
        // with as many terms left, the step that comes next is WHOLE, or FEWEST as well
        const int whole = once(a.there >= BM && b.there >= BN ? AHEAD + BK : 0x7fffffff);
        const bool vectors = a.vectors == Sums::KEEPS_A && b.vectors == Sums::KEEPS_B;
        const int fewest = once(vectors ? whole : 0x7fffffff);
        const bool sums_column = sum_columns && threadIdx.x < BN;
        constexpr int BYTES = SIZE * sizeof(REAL), LAST = (BUFFERS - 1) * BYTES;
        const Destination to_a = destination(shared + a.first);
        const Destination to_b = destination(shared + Sums::SIZE_A + b.first);
#pragma unroll
        for (int i = 0; i < BUFFERS - 1; i++) {
            if (terms > i * BK)
                copy<false, false>(to_a + i * BYTES, to_b + i * BYTES, terms - i * BK);
            close_copies();
            a.advance(), b.advance();
        }
        for (int at = LAST; terms > 0; terms -= BK) {
            wait_for_copies<BUFFERS - 2>();
            __syncthreads();  // the full buffer is there for all, and all have left the empty one
            if (terms >= fewest)
                copy<true, true>(to_a + at, to_b + at, BK);
            else if (terms >= whole)
                copy<true, false>(to_a + at, to_b + at, BK);
            else if (terms > AHEAD)
                copy<false, false>(to_a + at, to_b + at, terms - AHEAD);
            close_copies();
            a.advance(), b.advance();
            // on to the full buffer, the next step's empty one
            at = BUFFERS == 2 ? LAST - at : at < LAST ? at + BYTES : 0;
            const REAL *tile_a = past(shared, at), *tile_b = tile_a + Sums::SIZE_A;
            sums.multiply(tile_a, tile_b);
            if (sums_column)
                for (int p = 0; p < BK; p++) column_sum += tile_b[Sums::at_b(p, threadIdx.x)];
        }
        __syncthreads();  // shared memory is free again
    }

    // Whether this block is to end the sums of its tile: it has all terms, or is the last of those
    // that have parts of them, and ``each`` adds them up. ``tickets``: one for each tile; null:
    // another kernel adds up.
    __device__ bool ends(REAL *room, unsigned *tickets, REAL *shared) {
        if (place.parts == 1) return true;
        finish_part(room + (long long)place.part * m * n, false, shared);
        if (!ADDS_PARTS || !tickets) return false;
        parts = room;
        return is_last_block(tickets + place.row * place.columns + place.column, place.parts);
    }

    // Calls f(offsets, sums, places) for the elements of the block's tile, SIDE of a thread's at a
    // time, and offset -1 for one outside the matrix; places[32 u] of shared memory are the
    // thread's own. A row of sums of every thread goes through shared memory. There the lanes of a
    // warp trade places, so that neighbours write neighbours. A thread's u-th element always lies
    // in the tile's column column_of(u).
    static constexpr int SIDE = Sums::TN;
    static constexpr int COLUMNS = 32 * SIDE / Sums::LANE_ROWS;  // of a warp
    __device__ int column_of(int u) const {
        return column0 + Sums::column(32 * u % COLUMNS + (int)(threadIdx.x % 32 % COLUMNS));
    }
    template <class F> __device__ void each(REAL *shared, F f) const {
        constexpr int ELEMENTS = 32 * SIDE;  // of a warp
        static_assert(THREADS / 32 * ELEMENTS <= SHARED, "a row of every thread must fit");
        REAL *rows = shared + threadIdx.x / 32 * ELEMENTS;
        const int lane = (int)(threadIdx.x % 32), origin = Sums::row(0, 0);
        const int row = row0 + Sums::row(0, lane / COLUMNS);  // of a thread's first element
        const long long first = (long long)row * n;
#pragma unroll
        for (int i = 0; i < Sums::TM; i++) {
#pragma unroll
            for (int j = 0; j < Sums::TN; j++)
                rows[Sums::lane_row() * COLUMNS + Sums::lane_column(j)] = sums.value[i][j];
            __syncwarp();
            long long at[SIDE];
            REAL totals[SIDE];
#pragma unroll
            for (int u = 0; u < SIDE; u++) {
                int down = Sums::row(i, 32 * u / COLUMNS) - origin, column = column_of(u);
                at[u] = down < m - row && column < n ? first + (long long)down * n + column : -1;
                totals[u] = ADDS_PARTS && parts ? 0 : rows[32 * u + lane];
            }
            if (ADDS_PARTS && parts)  // in their order: two runs give the same bits
#pragma unroll 4
                for (int k = 0; k < place.parts; k++)
#pragma unroll
                    for (int u = 0; u < SIDE; u++)
                        if (at[u] >= 0) totals[u] += parts[(long long)k * m * n + at[u]];
            f(at, totals, rows + lane);
            __syncwarp();
        }
    }

    // v = op(activation, v). What takes more than a comparison is worked out in a loop, through a
    // thread's ``own`` places in shared memory, so that it is compiled once and not SIDE times.
    template <class Op>
    __device__ static void apply(REAL (&v)[SIDE], int activation, REAL *own, Op op) {
        if (activation == ACTIVATION_IDENTITY || activation == ACTIVATION_RELU) {
            bool relu = activation == ACTIVATION_RELU;
#pragma unroll
            for (int u = 0; u < SIDE; u++)
                v[u] = relu ? op(ACTIVATION_RELU, v[u]) : op(ACTIVATION_IDENTITY, v[u]);
            return;
        }
#pragma unroll
        for (int u = 0; u < SIDE; u++) own[32 * u] = v[u];
#pragma unroll 1
        for (int u = 0; u < SIDE; u++) own[32 * u] = op(activation, own[32 * u]);
#pragma unroll
        for (int u = 0; u < SIDE; u++) v[u] = own[32 * u];
    }

    // Epilogue: y = act(sum + bias), and the sum itself into pre where it is wanted.
    __device__ void finish_forward(const REAL *bias, int activation, REAL *y, REAL *pre,
                                   REAL *shared) const {
        REAL of_column[SIDE];  // few of them differ
#pragma unroll
        for (int u = 0; u < SIDE; u++) of_column[u] = column_of(u) < n ? bias[column_of(u)] : 0;
        each(shared, [&](const long long *at, const REAL *totals, REAL *own) {
            REAL z[SIDE];
#pragma unroll
            for (int u = 0; u < SIDE; u++) {
                z[u] = totals[u] + of_column[u];
                if (at[u] >= 0 && pre) pre[at[u]] = z[u];
            }
            apply(z, activation, own, [](int which, REAL x) { return activate(which, x); });
#pragma unroll
            for (int u = 0; u < SIDE; u++)
                if (at[u] >= 0) y[at[u]] = z[u];
        });
    }

    // Epilogue: dx = sum * act'(saved).
    __device__ void finish_input(int activation, const REAL *saved, REAL *dx, REAL *shared) const {
        each(shared, [&](const long long *at, const REAL *totals, REAL *own) {
            REAL s[SIDE];
#pragma unroll
            for (int u = 0; u < SIDE; u++) s[u] = at[u] < 0 ? 0 : saved[at[u]];
            apply(s, activation, own, [](int which, REAL x) { return activation_slope(which, x); });
#pragma unroll
            for (int u = 0; u < SIDE; u++)
                if (at[u] >= 0) dx[at[u]] = totals[u] * s[u];
        });
    }

    // Epilogue: the sums as they are, of which there may be other parts; or added to what is there.
    __device__ void finish_part(REAL *part, bool add, REAL *shared) const {
        each(shared, [&](const long long *at, const REAL *totals, REAL *) {
            REAL there[SIDE];
#pragma unroll
            for (int u = 0; u < SIDE; u++) there[u] = add && at[u] >= 0 ? part[at[u]] : 0;
#pragma unroll
            for (int u = 0; u < SIDE; u++)
                if (at[u] >= 0) part[at[u]] = add ? there[u] + totals[u] : totals[u];
        });
    }

    // Epilogue: the column sums of B, from the first row of blocks.
    __device__ void finish_columns(REAL *db, bool add) const {
        int column = column0 + (int)threadIdx.x;
        if (place.row == 0 && threadIdx.x < BN && column < n)
            db[column] = add ? db[column] + column_sum : column_sum;
    }
};
