// The dense layer on tensor cores: factors lose 13 of their 24 bits (see dense_mma.cuh).

#include "dense_mma.cuh"

#if HAS_TF32

template <bool TA, bool TB> using Product32x32 = Product<Sums<16, 8, TA, TB, false>>;
template <bool TA, bool TB> using Product32x64 = Product<Sums<16, 16, TA, TB, false>>;
template <bool TA, bool TB> using Product64x64 = Product<Sums<32, 16, TA, TB, false>>;
template <bool TA, bool TB> using Product128x128 = Product<Sums<64, 32, TA, TB, false>>;

#define BLOCKS_128 1  // two would spill registers

#include "dense_kernels.cuh"

#endif
