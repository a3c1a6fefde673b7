// The dense layer: matrix products by fused multiply-adds.
//
// This is where matmul_ladder.cu arrives. dense_product.cuh brings the tiles, dense_kernels.cuh has
// the kernels; what is left is how a thread multiplies two tiles that lie in shared memory.

#include "dense_product.cuh"

// TM x TN elements of a BM x BN tile for each thread.
template <int BM_, int BN_, int BK_, int TM_, int TN_, bool TA_, bool TB_> struct Sums {
    static constexpr int BM = BM_, BN = BN_, BK = BK_, TM = TM_, TN = TN_;
    static constexpr bool TA = TA_, TB = TB_;
    static constexpr int COLUMNS = BN / TN;  // of threads
    static constexpr int ROWS = BM / TM;
    static constexpr int PITCH_A = BM + 1;  // odd: writes along k meet different banks
    static constexpr int PITCH_B = BN + 1;
    static constexpr int SIZE_A = BK * PITCH_A;
    static constexpr int SIZE_B = BK * PITCH_B;
    static_assert(COLUMNS * ROWS == THREADS, "the tiles must divide evenly");

    REAL value[TM][TN];

    __device__ static int at_a(int i, int p) { return p * PITCH_A + i; }
    __device__ static int at_b(int p, int j) { return p * PITCH_B + j; }

    // A thread's elements lie ROWS and COLUMNS apart: a warp reads (and later writes) neighbours.
    __device__ static int row_of(int i) { return (int)threadIdx.x / COLUMNS + i * ROWS; }
    __device__ static int column_of(int j) { return (int)threadIdx.x % COLUMNS + j * COLUMNS; }

    __device__ void multiply(const REAL *tile_a, const REAL *tile_b) {
#pragma unroll
        for (int p = 0; p < BK; p++) {
            REAL from_a[TM], from_b[TN];
#pragma unroll
            for (int i = 0; i < TM; i++) from_a[i] = tile_a[at_a(row_of(i), p)];
#pragma unroll
            for (int j = 0; j < TN; j++) from_b[j] = tile_b[at_b(p, column_of(j))];
#pragma unroll
            for (int i = 0; i < TM; i++)
#pragma unroll
                for (int j = 0; j < TN; j++)
                    value[i][j] = fma(from_a[i], from_b[j], value[i][j]);
        }
    }
};

template <bool TA, bool TB> using Product32 = Product<Sums<32, 32, 16, 2, 2, TA, TB>>;
template <bool TA, bool TB> using Product64 = Product<Sums<64, 64, 16, 4, 4, TA, TB>>;
template <bool TA, bool TB> using Product128 = Product<Sums<128, 128, 8, 8, 8, TA, TB>>;

#include "dense_kernels.cuh"
