// The dense layer on tensor cores, as accurate as dense.cu (see dense_mma.cuh).

constexpr bool SPLIT = true;

#include "dense_mma.cuh"
