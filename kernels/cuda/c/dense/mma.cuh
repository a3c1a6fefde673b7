// Tensor cores: the product of two small matrices that the 32 lanes of a warp hold between them.
//
// TF32 is float32 with 10 of its 23 mantissa bits, for factors; the products are summed in float32.
// The hardware knows it from compute capability 8.0. On the CPU: cuda_host_mma.h.

#if !REAL_IS_DOUBLE && (!defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800)
#define HAS_TF32 1
#else
#define HAS_TF32 0
#endif

#ifdef __CUDA_ARCH__

// The bits of x rounded to TF32, ties away from zero.
__device__ inline unsigned to_tf32(float x) {
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
}

// d (16, 8) += a (16, 8) @ b (8, 8). With group = lane / 4 and member = lane % 4 a lane holds
//   a[e]  row group + 8 (e % 2), column member + 4 (e / 2)
//   b[e]  row member + 4 e, column group
//   d[e]  row group + 8 (e / 2), column 2 member + e % 2
// Of a and b the hardware reads what TF32 has: what was not rounded to it is cut off. It cuts off
// its sums as well, instead of rounding them.
__device__ inline void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ inline float as_float(unsigned bits) { return __uint_as_float(bits); }
__device__ inline unsigned as_bits(float x) { return __float_as_uint(x); }

#endif
