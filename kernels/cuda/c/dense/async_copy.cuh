// Copies from global to shared memory that a thread begins now and waits for later, so that it can
// work meanwhile: cp.async, from compute capability 8.0 on. Before that a copy is done at once.
//
//   destination(to)                   a Destination: where in shared memory a copy goes. Numbers
//                                     that are added to it are bytes
//   begin_copy<N>(to, from, wanted)   N elements, both addresses multiples of their size; zeros
//                                     where it is not wanted, and ``from`` is not read then
//   close_copies()                    what was begun since the last call is a group
//   wait_for_copies<N>()              until all groups are there but the last N
//
// A thread waits for its own copies only: others see them after a barrier. On the CPU
// cuda_host_copy.h has these functions.

#include "vector.cuh"

#ifdef __CUDA_ARCH__

#if __CUDA_ARCH__ >= 800
using Destination = unsigned;  // as cp.async takes it
#else
using Destination = char *;
#endif

__device__ inline Destination destination(REAL *to) {
#if __CUDA_ARCH__ >= 800
    Destination shared = (unsigned)__cvta_generic_to_shared(to);
    asm volatile("" : "+r"(shared));  // worked out here, not in every step of a loop
    return shared;
#else
    return (Destination)to;
#endif
}

// ``from`` keeps its value, but the compiler is told that it might not: so it makes the address of
// the next copy from it, by one addition, and not from the first one's by several.
template <int N>
__device__ inline void begin_copy(Destination to, const REAL *&from, bool wanted) {
#if __CUDA_ARCH__ >= 800
    constexpr int BYTES = N * sizeof(REAL);
    int bytes = wanted ? BYTES : 0;
    if (BYTES == 16)  // past the first cache: nothing else of the block reads these again
        asm volatile("cp.async.cg.shared.global [%1], [%0], 16, %2;"
                     : "+l"(from)
                     : "r"(to), "r"(bytes)
                     : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%1], [%0], %2, %3;"
                     : "+l"(from)
                     : "r"(to), "n"(BYTES), "r"(bytes)
                     : "memory");
#else
    using Elements = Vector<REAL, N>;
    *(Elements *)to = wanted ? *(const Elements *)from : Elements{};
#endif
}

__device__ inline void close_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

template <int N> __device__ inline void wait_for_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

#endif
