// The functions of mma.cuh on the CPU, for the fibers of cuda_host.h.
//
// The lanes of a warp meet and show each other their fragments; each then computes its own elements.
// The arithmetic is the hardware's as far as it is known, and where GPUs differ the coarsest (Fasi,
// Higham, Mikaitis, Pranesh, "Numerical behavior of NVIDIA tensor cores", 2021): factors are cut off
// to TF32, so that one that was not rounded shows; their products are exact; the addends of a sum
// lose what lies below the 24 bits of the largest; and the sum is cut off to float32.
//
// A meeting is no barrier: mma.sync orders no accesses to memory, and ThreadSanitizer is told of
// none.
#pragma once

namespace cuda_host {

struct Fragments {
    unsigned a[4], b[2];
};

inline float from_bits(unsigned bits) {
    float x;
    __builtin_memcpy(&x, &bits, 4);
    return x;
}

inline unsigned to_bits(float x) {
    unsigned bits;
    __builtin_memcpy(&bits, &x, 4);
    return bits;
}

constexpr unsigned TF32_BITS = 0xffffe000u;  // sign, exponent, 10 bits of the mantissa

// d plus the products of a[i] and b[i], exact in double.
inline float add_products(float d, const float *a, const float *b) {
    double addends[9] = {d}, largest = std::fabs(d), sum = d;
    for (int i = 0; i < 8; i++) {
        addends[i + 1] = (double)a[i] * b[i];
        sum += addends[i + 1];
        largest = std::fmax(largest, std::fabs(addends[i + 1]));
    }
    if (largest == 0 || !std::isfinite(sum)) return (float)sum;
    int exponent;
    std::frexp(largest, &exponent);
    double one = std::ldexp(1.0, exponent - 24);  // the last of the 24 bits
    sum = 0;
    for (double addend : addends) sum += std::trunc(addend / one) * one;
    float rounded = (float)sum;
    if (std::isfinite(rounded) && std::fabs(rounded) > std::fabs(sum))
        return std::nextafter(rounded, 0.0f);
    return rounded;
}

}  // namespace cuda_host

inline float as_float(unsigned bits) { return cuda_host::from_bits(bits); }
inline unsigned as_bits(float x) { return cuda_host::to_bits(x); }

inline unsigned to_tf32(float x) {
    if (x != x) return 0x7fffffffu;
    return (cuda_host::to_bits(x) + 0x1000u) & cuda_host::TF32_BITS;  // may become infinite
}

CUDA_HOST_UNSEEN inline void mma_tf32(float (&d)[4], const unsigned (&a)[4],
                                      const unsigned (&b)[2]) {
    using namespace cuda_host;
    Fragments mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    const Shown<Fragments> lanes = show(mine, warp_meeting);
    unsigned group = current->lane / 4, member = current->lane % 4;
    for (unsigned e = 0; e < 4; e++) {
        unsigned row = e / 2, column = 2 * member + e % 2;
        float from_a[8], from_b[8];
        for (unsigned k = 0; k < 8; k++) {
            from_a[k] = from_bits(lanes[4 * group + k % 4].a[row + k / 4 * 2] & TF32_BITS);
            from_b[k] = from_bits(lanes[4 * column + k % 4].b[k / 4] & TF32_BITS);
        }
        d[e] = add_products(d[e], from_a, from_b);
    }
}
