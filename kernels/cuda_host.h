// Runs CUDA C kernels on the CPU: included before a .cu file that a C++ compiler then compiles.
//
// Each CUDA thread of a block is a fiber: it runs until it meets a barrier and hands over there.
// Blocks run one after the other; shared memory is filled with NaN bits before each of them.
// With -DCUDA_HOST_THREADS every CUDA thread is a thread of the operating system instead, so that
// ThreadSanitizer sees a missing __syncthreads() as the data race that it is.
//
// What this shows: wrong indices, missing barriers, unwritten outputs. What it cannot show:
// speed, bank conflicts, the GPU's memory ordering.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __restrict__ __restrict
#define __launch_bounds__(...)
// One section holds all shared variables, so that they can be poisoned between blocks. It is
// static memory: blocks never run at the same time.
#define __shared__ static __attribute__((section("cuda_shared"), aligned(16)))

struct dim3 {
    unsigned x, y, z;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) double2 {
    double x, y;
};

namespace cuda_host {

struct Thread {
    dim3 index;
    unsigned lane;
    struct Warp *warp;
    // how far it has come
    bool done, waiting, waiting_warp;
    void *stack_pointer;  // fibers only
    char *stack;
};

struct Warp {
    unsigned alive, arrived;
    unsigned generation;
    // what __shfl_sync exchanges; two sets, used in turns, save a second barrier
    alignas(16) unsigned char value[2][32][8];
    unsigned turn[32];
};

extern thread_local Thread *current;
extern dim3 block_index, block_dim, grid_dim;

void block_barrier();
void warp_barrier();

template <class T> T exchange(T value, unsigned source) {
    static_assert(sizeof(T) <= 8, "a lane exchanges at most 8 bytes");
    Thread *self = current;
    unsigned set = self->warp->turn[self->lane]++ & 1;
    memcpy(self->warp->value[set][self->lane], &value, sizeof(T));
    warp_barrier();
    if (source < 32) memcpy(&value, self->warp->value[set][source], sizeof(T));
    return value;
}

}  // namespace cuda_host

#define threadIdx (cuda_host::current->index)
#define blockIdx (cuda_host::block_index)
#define blockDim (cuda_host::block_dim)
#define gridDim (cuda_host::grid_dim)

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

inline unsigned __umulhi(unsigned a, unsigned b) {
    return unsigned((unsigned long long)a * b >> 32);
}
// Rounded one after the other, never fused (the compiler runs with -ffp-contract=off).
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }

using std::abs;
using std::cos;
using std::exp;
using std::expm1;
using std::fabs;
using std::fma;
using std::fmax;
using std::fmin;
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

namespace cuda_host {

constexpr unsigned MAX_THREADS = 1024;
constexpr size_t STACK = 64 * 1024;

thread_local Thread *current;
dim3 block_index, block_dim, grid_dim;
static Thread threads[MAX_THREADS];
static Warp warps[MAX_THREADS / 32];
static unsigned n_threads;
static const char *failure;
static void (*body)(void **);
static void **arguments;

extern "C" char __start_cuda_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_cuda_shared[] __attribute__((weak, visibility("hidden")));

static void prepare_block() {
    if (__start_cuda_shared)  // NaN in float and double alike
        memset(__start_cuda_shared, 0xff, size_t(__stop_cuda_shared - __start_cuda_shared));
    memset(warps, 0, sizeof warps);
    for (unsigned i = 0; i < n_threads; i++) {
        Thread &t = threads[i];
        t.index = {i % block_dim.x, i / block_dim.x % block_dim.y, i / (block_dim.x * block_dim.y)};
        t.lane = i % 32;
        t.warp = &warps[i / 32];
        t.warp->alive++;
        t.done = t.waiting = t.waiting_warp = false;
    }
}

}  // namespace cuda_host

#ifdef CUDA_HOST_THREADS
#include "cuda_host_threads.h"
#else
#include "cuda_host_fibers.h"
#endif

namespace cuda_host {

template <class... A> struct Unpack;
template <> struct Unpack<> {
    template <class F, class... Done> static void call(F f, void **, Done... done) { f(done...); }
};
template <class First, class... Rest> struct Unpack<First, Rest...> {
    template <class F, class... Done> static void call(F f, void **a, Done... done) {
        Unpack<Rest...>::call(f, a + 1, done..., *static_cast<First *>(a[0]));
    }
};

template <auto kernel> struct Launch;
template <class... A, void (*kernel)(A...)> struct Launch<kernel> {
    static void thread(void **a) { Unpack<A...>::call(kernel, a); }
    static int arity() { return sizeof...(A); }
};

// Runs the whole grid; returns nullptr, or what went wrong.
static const char *run(void (*thread)(void **), const unsigned *grid, const unsigned *block,
                       void **args) {
    body = thread;
    arguments = args;
    grid_dim = {grid[0], grid[1], grid[2]};
    block_dim = {block[0], block[1], block[2]};
    n_threads = block[0] * block[1] * block[2];
    failure = nullptr;
    if (n_threads == 0 || n_threads > MAX_THREADS) return "a block must have 1 to 1024 threads";
    run_grid();
    return failure;
}

}  // namespace cuda_host

// One per kernel, appended by cuda_host.py.
#define CUDA_HOST_LAUNCHER(kernel)                                                               \
    extern "C" __attribute__((visibility("default"))) const char *launch_##kernel(               \
        const unsigned *grid, const unsigned *block, void **args, int n_args) {                  \
        using Kernel = cuda_host::Launch<kernel>;                                                \
        if (n_args != Kernel::arity()) return "wrong number of arguments for " #kernel;          \
        return cuda_host::run(Kernel::thread, grid, block, args);                                \
    }
