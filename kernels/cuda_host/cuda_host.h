// Runs CUDA C kernels on the CPU: included before a .cu file that a C++ compiler then compiles.
//
// Each CUDA thread of a block is a fiber: it runs until it meets a barrier and hands over there.
// Blocks run one after the other; shared memory is filled with NaN bits before each of them. Those
// of a cooperative launch are all there at once and run in turns: one that waits for others has its
// waiting thread sleep (__nanosleep), and keeps its shared memory aside until its next turn.
// In a debugger (-O0) threadIdx can be printed and stand in conditions, and a step over a barrier
// ends in the same thread. ThreadSanitizer, AddressSanitizer and UBSan work, see
// cuda_host_sanitizers.h.
//
// What this shows: wrong indices, races, unwritten outputs. What it cannot show: speed, bank
// conflicts, the GPU's memory ordering.
#pragma once

#include <pthread.h>

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <utility>

#define __global__
#define __device__
#define __launch_bounds__(...)
// One section holds all shared variables, so that they can be poisoned between blocks. It is
// static memory: blocks never run at the same moment. The linker knows where it lies.
#define __shared__ static __attribute__((section("cuda_shared"), aligned(16)))
extern "C" char __start_cuda_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_cuda_shared[] __attribute__((weak, visibility("hidden")));

struct dim3 {
    unsigned x, y, z;
};

// Variables, not macros: a debugger shows them. The scheduler sets them before it hands over.
static dim3 threadIdx, blockIdx, blockDim, gridDim;

// For what belongs to the machine, not to the kernel that ThreadSanitizer judges.
#define CUDA_HOST_UNSEEN __attribute__((no_sanitize("thread")))

namespace cuda_host {

// A barrier's name for ThreadSanitizer: its address. A thread may come to the next barrier before
// another has left this one, so barriers have two, used in turns.
struct Gate {
    char address;
};

struct Warp {
    unsigned alive, arrived;  // lanes that have not ended; of them, those at the barrier
    unsigned generation;      // barriers passed
    Gate gates[2];
    // what its lanes show each other; again two, which saves a second barrier
    alignas(8) unsigned char value[2][32][24];
};

constexpr unsigned MAX_COPIES = 64;

struct Copy {
    void *to;
    const void *from;  // null: zeros
    unsigned bytes, group;
};

struct Thread {
    dim3 index;
    unsigned lane;
    Warp *warp;
    bool done, waiting, waiting_warp, asleep;  // how far it has come
    Copy copies[MAX_COPIES];           // under way, see cuda_host_copy.h
    unsigned n_copies, copy_group;     // their number; groups of them that have been closed
    char *stack;
    void *stack_pointer;
};

static Thread *current;

static void block_barrier();
static void warp_barrier();
static void warp_meeting();  // the same, but it orders no accesses to memory
static void sleep();         // until the other blocks have had their turns

// What each lane of a warp has shown.
template <class T> struct Shown {
    unsigned char (*values)[24];
    CUDA_HOST_UNSEEN T operator[](unsigned lane) const {
        T value;
        __builtin_memcpy(&value, values[lane], sizeof value);
        return value;
    }
};

template <class T> CUDA_HOST_UNSEEN Shown<T> show(const T &value, void (*meet)()) {
    static_assert(sizeof(T) <= 24, "a lane shows at most 24 bytes");
    Warp &warp = *current->warp;
    unsigned char(*values)[24] = warp.value[warp.generation & 1];
    __builtin_memcpy(values[current->lane], &value, sizeof value);
    meet();
    return {values};
}

template <class T> CUDA_HOST_UNSEEN T exchange(T value, unsigned source) {
    const Shown<T> shown = show(value, warp_barrier);
    return source < 32 ? shown[source] : value;
}

}  // namespace cuda_host

inline void __syncthreads() { cuda_host::block_barrier(); }
inline void __syncwarp(unsigned = 0xffffffffu) { cuda_host::warp_barrier(); }
template <class T> T __shfl_down_sync(unsigned, T value, unsigned delta) {
    return cuda_host::exchange(value, cuda_host::current->lane + delta);
}
template <class T> T __shfl_xor_sync(unsigned, T value, int mask) {
    return cuda_host::exchange(value, cuda_host::current->lane ^ unsigned(mask));
}
template <class T> T __shfl_sync(unsigned, T value, int lane) {
    return cuda_host::exchange(value, unsigned(lane) & 31);
}

inline void __nanosleep(unsigned) { cuda_host::sleep(); }

inline void __threadfence() {}  // the atomics order memory here
inline unsigned load_acquire(const unsigned *at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }
inline unsigned atomicInc(unsigned *at, unsigned limit) {
    unsigned old = __atomic_load_n(at, __ATOMIC_ACQUIRE);
    while (!__atomic_compare_exchange_n(at, &old, old < limit ? old + 1 : 0, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
    }
    return old;
}

inline unsigned __umulhi(unsigned a, unsigned b) {
    return unsigned((unsigned long long)a * b >> 32);
}
// Rounded one after the other, never fused (the compiler runs with -ffp-contract=off).
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline int __float_as_int(float x) {
    int bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return bits;
}
inline long long __double_as_longlong(double x) {
    long long bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return bits;
}

using std::cos;
using std::exp;
using std::expm1;
using std::fabs;
using std::fma;
using std::isfinite;
using std::log;
using std::log1p;
using std::nan;
using std::sin;
using std::sqrt;
using std::tanh;
// sin and cos of pi x
inline void sincospi(double x, double *sine, double *cosine) {
    *sine = sin(3.141592653589793 * x);
    *cosine = cos(3.141592653589793 * x);
}
inline void sincospi(float x, float *sine, float *cosine) {
    double s, c;
    sincospi((double)x, &s, &c);
    *sine = (float)s;
    *cosine = (float)c;
}
template <class T> T min(T a, T b) { return b < a ? b : a; }
template <class T> T max(T a, T b) { return a < b ? b : a; }

#include "cuda_host_fibers.h"
#include "cuda_host_mma.h"
#include "cuda_host_sanitizers.h"
#include "cuda_host_scheduler.h"
#include "cuda_host_copy.h"

namespace cuda_host {

template <auto kernel> struct Launch;
template <class... A, void (*kernel)(A...)> struct Launch<kernel> {
    template <size_t... I> static void call(void **args, std::index_sequence<I...>) {
        kernel(*static_cast<A *>(args[I])...);
    }
    static void thread(void **args) { call(args, std::index_sequence_for<A...>()); }
    static int arity() { return sizeof...(A); }
};

// Runs the whole grid, its blocks all at once if the launch is ``cooperative``; returns nullptr, or
// what went wrong. One launch at a time.
static const char *run(void (*thread)(void **), const unsigned *grid, const unsigned *block,
                       void **args, bool cooperative) {
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    body = thread;
    arguments = args;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    n_threads = block[0] * block[1] * block[2];
    failure = nullptr;
    if (n_threads == 0 || n_threads > MAX_THREADS)
        failure = "a block must have 1 to 1024 threads";
    else if (cooperative && grid[0] * grid[1] * grid[2] > MAX_THREADS / n_threads)
        failure = "the blocks of a cooperative launch must have 1024 threads in all, at most";
    else
        run_grid(cooperative);
    const char *result = failure;
    pthread_mutex_unlock(&mutex);
    return result;
}

}  // namespace cuda_host

// One per kernel, appended by host.py.
#define CUDA_HOST_LAUNCHER(kernel)                                                               \
    extern "C" __attribute__((visibility("default"))) const char *launch_##kernel(               \
        const unsigned *grid, const unsigned *block, void **args, int n_args, int cooperative) { \
        using Kernel = cuda_host::Launch<kernel>;                                                \
        if (n_args != Kernel::arity()) return "wrong number of arguments for " #kernel;          \
        return cuda_host::run(Kernel::thread, grid, block, args, cooperative);                   \
    }
