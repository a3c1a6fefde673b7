// How a thread multiplies two tiles that lie in shared memory, by fused multiply-adds: the Sums of
// dense_product.cuh.

#include "dense_product.cuh"

// A multiprocessor's, of the largest tiles: two hide each other's waits. More registers than two
// have need double, from sm_100 on gradients of weights, and from sm_120 on the forward pass.
#define BLOCKS_INPUT (REAL_IS_DOUBLE ? 1 : 2)
#if REAL_IS_DOUBLE || __CUDA_ARCH__ >= 1200
#define BLOCKS_FORWARD 1
#else
#define BLOCKS_FORWARD 2
#endif
#if REAL_IS_DOUBLE || __CUDA_ARCH__ >= 1000
#define BLOCKS_WEIGHTS 1
#else
#define BLOCKS_WEIGHTS 2
#endif

// TM x TN elements of a BM x BN tile for each thread. Up to 16 bytes of them lie side by side, so
// that a thread reads an operand's in one go; such groups of the 16 x 16 threads fill the tile in
// turns. A warp has 4 rows of 8 threads, so that its lanes read the fewest different elements. Lanes
// n and n ^ 1 lie in one column, n and n ^ 2 in one row: two such neighbours that read the same 16
// bytes share a wavefront of shared memory, so both operands are read in the fewest of them.
template <int BM_, int BN_, bool TA_, bool TB_> struct Sums {
    static constexpr int BM = BM_, BN = BN_, TM = BM / 16, TN = BN / 16;
    static constexpr bool TA = TA_, TB = TB_;
    static constexpr int BK = REAL_IS_DOUBLE && BM == 128 ? 8 : 16;
    static constexpr int BUFFERS = REAL_IS_DOUBLE || BM == 128 ? 2 : 4;  // what fits
    static constexpr int LARGE = REAL_IS_DOUBLE && TA ? 64 : 128;
    static constexpr int BLOCKS = BM < LARGE ? 2
                                  : TA       ? BLOCKS_WEIGHTS
                                  : TB       ? BLOCKS_INPUT
                                             : BLOCKS_FORWARD;
    static constexpr int VECTOR = 16 / sizeof(REAL);
    static constexpr int GM = TM < VECTOR ? TM : VECTOR;  // rows side by side
    static constexpr int GN = TN < VECTOR ? TN : VECTOR;
    // In shared memory the index along k is the outer one, of both operands.
    static constexpr bool KEEPS_A = TA, KEEPS_B = !TB;
    static constexpr int PITCH_A = BM + VECTOR;  // what is turned round meets different banks
    static constexpr int PITCH_B = BN + VECTOR;
    static constexpr int SIZE_A = BK * PITCH_A;
    static constexpr int SIZE_B = BK * PITCH_B;
    static_assert(THREADS == 16 * 16, "a square of threads");

    REAL value[TM][TN];
    // where in the tiles the thread's first row and first column begin, in bytes
    int first_a = once(at_a(row(0, lane_row()), 0) * (int)sizeof(REAL));
    int first_b = once(at_b(0, column(lane_column(0))) * (int)sizeof(REAL));

    __device__ static int at_a(int i, int p) { return p * PITCH_A + i; }
    __device__ static int at_b(int p, int j) { return p * PITCH_B + j; }

    static constexpr int LANE_ROWS = 4;
    __device__ static int lane_row() { return (int)(threadIdx.x % 32 / 16 * 2 + threadIdx.x % 2); }
    __device__ static int lane_column(int j) {
        return j / GN * 8 * GN + (int)(threadIdx.x % 16 / 2) * GN + j % GN;
    }
    __device__ static int row(int i, int r) {
        return i / GM * 16 * GM + ((int)(threadIdx.x / 64) * 4 + r) * GM + i % GM;
    }
    __device__ static int column(int c) {
        return c / (8 * GN) * 16 * GN + (int)(threadIdx.x / 32 % 2) * 8 * GN + c % (8 * GN);
    }

    __device__ void multiply(const REAL *tile_a, const REAL *tile_b) {
#pragma unroll
        for (int p = 0; p < BK; p++) {
            Vector<REAL, GM> from_a[TM / GM];
            Vector<REAL, GN> from_b[TN / GN];
#pragma unroll
            for (int i = 0; i < TM; i += GM)
                from_a[i / GM] = *(const Vector<REAL, GM> *)(past(tile_a, first_a) +
                                                             at_a(row(i, 0) - row(0, 0), p));
#pragma unroll
            for (int j = 0; j < TN; j += GN)
                from_b[j / GN] = *(const Vector<REAL, GN> *)(past(tile_b, first_b) +
                                                             at_b(p, j / GN * 16 * GN));
#pragma unroll
            for (int i = 0; i < TM; i++)
#pragma unroll
                for (int j = 0; j < TN; j++)
                    value[i][j] = fma(from_a[i / GM].at[i % GM], from_b[j / GN].at[j % GN],
                                      value[i][j]);
        }
    }
};
