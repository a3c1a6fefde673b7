// The dense layer on tensor cores: factors lose 13 of their 24 bits (see dense_mma.cuh).

constexpr bool SPLIT = false;

#include "dense_mma.cuh"
