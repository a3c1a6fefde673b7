// The dense layer on tensor cores, as accurate as dense.cu (see dense_mma.cuh).

#include "dense_mma.cuh"

#if HAS_TF32

template <bool TA, bool TB> using Product32x32 = Product<Sums<16, 8, TA, TB, true>>;
template <bool TA, bool TB> using Product32x64 = Product<Sums<16, 16, TA, TB, true>>;
template <bool TA, bool TB> using Product64x64 = Product<Sums<32, 16, TA, TB, true>>;
template <bool TA, bool TB> using Product128x128 = Product<Sums<64, 32, TA, TB, true>>;

#define BLOCKS_128 1  // two would spill registers

#include "dense_kernels.cuh"

#endif
