// Sums of dense_product.cuh on tensor cores: in TF32, or as accurate as in float32 (3xTF32).
//
// TF32 keeps 11 significant bits of a factor, float32 has 24. 3xTF32 writes x = big + small, with
// big in TF32 and small nearly so, and takes three of the four products, the smallest first (Ootomo
// and Yokota, "Recovering single precision accuracy from tensor cores", 2022):
//
//   a b = small_a big_b + big_a small_b + big_a big_b,  small_a small_b < 2^-22 a b left out
//
// From an infinite factor, or one above 3.4e38, 3xTF32 makes NaN; below 2^-103 = 1e-31 a factor's
// small part is not a normal number any more, and what is left is TF32.
//
// Tensor cores cut their sums off, always towards zero, which adds up along k. So they begin anew
// every 8 steps, and it is the thread that adds what they return, rounding to nearest.
//
// The file that includes this one says whether to SPLIT factors, as 3xTF32 does.

#include "dense_product.cuh"
#include "mma.cuh"

#if HAS_TF32

// Eight warps, two rows of four; each has a WM x WN part of the tile, in pieces of 16 x 8.
template <int BM_, int BN_, bool TA_, bool TB_> struct Sums {
    static constexpr int BM = BM_, BN = BN_, BK = 16;
    static constexpr int WM = BM / 2, WN = BN / 4, TM = WM / 8, TN = WN / 4;
    static constexpr bool TA = TA_, TB = TB_;
    static constexpr int BUFFERS = BM < 128 ? 4 : 2;  // more of the largest would not fit
    static constexpr int BLOCKS = BM < 128 ? 2 : 1;   // two of the largest would spill registers
    static constexpr bool KEEPS_A = true, KEEPS_B = true;
    // These pitches send the 8 x 4 elements
    // that a warp reads to 32 different banks.
    static constexpr int PITCH_A = TA ? BM + 8 : BK + 4;
    static constexpr int PITCH_B = TB ? BK + 4 : BN + 8;
    static constexpr int SIZE_A = PITCH_A * (TA ? BK : BM);
    static constexpr int SIZE_B = PITCH_B * (TB ? BN : BK);
    static_assert(THREADS == 2 * 4 * 32, "eight warps");

    float value[TM][TN];

    __device__ static int at_a(int i, int p) { return TA ? p * PITCH_A + i : i * PITCH_A + p; }
    __device__ static int at_b(int p, int j) { return TB ? j * PITCH_B + p : p * PITCH_B + j; }

    // Where mma_tf32 deals out the sums: a lane has two neighbours in a row of each piece, and the
    // two below it in the piece's second half.
    static constexpr int LANE_ROWS = 8;
    __device__ static int group() { return (int)(threadIdx.x % 32 / 4); }
    __device__ static int member() { return (int)(threadIdx.x % 4); }
    __device__ static int lane_row() { return group(); }
    __device__ static int lane_column(int j) { return j / 2 * 8 + 2 * member() + j % 2; }
    __device__ static int row(int i, int r) { return (int)(threadIdx.x / 128) * WM + i * 8 + r; }
    __device__ static int column(int c) { return (int)(threadIdx.x / 32 % 4) * WN + c; }

    // x as big + small; small is not wanted where SPLIT is false, and is cut off to TF32 by the
    // tensor core: as it has 12 bits and either sign, that costs a last bit of x, now and then.
    __device__ static void split(float x, unsigned &big, unsigned &small) {
        if (SPLIT) {
            // to_tf32 of what is finite, in two instructions; small is NaN for the rest
            big = (as_bits(x) + 0x1000u) & 0xffffe000u;
            small = as_bits(x - as_float(big));
        } else {
            big = to_tf32(x);
        }
    }

    __device__ void multiply(const float *tile_a, const float *tile_b) {
#pragma unroll(WN < 32 ? BK / 8 : 1)  // the largest tile has no registers left for more
        for (int p = 0; p < BK; p += 8) {
            unsigned big_b[WN / 8][2], small_b[WN / 8][2];
#pragma unroll
            for (int j = 0; j < WN / 8; j++)
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    int at = at_b(p + member() + 4 * e, column(j * 8 + group()));
                    split(tile_b[at], big_b[j][e], small_b[j][e]);
                }
#pragma unroll
            for (int i = 0; i < TM; i += 2) {
                unsigned big_a[4], small_a[4];
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    int at = at_a(row(i + e % 2, group()), p + member() + e / 2 * 4);
                    split(tile_a[at], big_a[e], small_a[e]);
                }
#pragma unroll
                for (int j = 0; j < WN / 8; j++) {
                    float d[4] = {0, 0, 0, 0};
                    if (SPLIT) {
                        mma_tf32(d, small_a, big_b[j]);
                        mma_tf32(d, big_a, small_b[j]);
                    }
                    mma_tf32(d, big_a, big_b[j]);
#pragma unroll
                    for (int e = 0; e < 4; e++) value[i + e / 2][2 * j + e % 2] += d[e];
                }
            }
        }
    }
};

#include "dense_kernels.cuh"

#endif
