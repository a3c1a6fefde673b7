// The dense layer: matrix products by fused multiply-adds.
//
// This is where matmul_ladder.cu arrives. dense_product.cuh brings the tiles, dense_sums.cuh the
// arithmetic, dense_tile.cuh has the kernels.

#include "dense_sums.cuh"

#include "dense_kernels.cuh"
