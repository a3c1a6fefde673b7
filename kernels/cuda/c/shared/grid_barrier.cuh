// A barrier of all blocks of a launch. It must be a cooperative launch: there the driver sees to it
// that all of them are on the GPU at once, so that none waits for one that cannot begin.
//
// Each block counts itself in and one of its threads looks until all have come (as the barrier of
// CUDA's cooperative groups does, whose header NVRTC does not have). Who has counted itself in has
// written what it had to, and who sees the full count reads what others wrote.

#ifdef __CUDA_ARCH__  // on the CPU cuda_host.h has it
__device__ inline unsigned load_acquire(const unsigned *at) {
    unsigned value;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(at) : "memory");
    return value;
}
#endif

// arrived[0] is 0 before a launch and after it. Each block waits ``barriers`` times, then it leaves.
struct GridBarrier {
    unsigned *arrived;
    unsigned last, goal = 0;  // the count beyond which it is 0 again; that of the next barrier

    __device__ GridBarrier(unsigned *arrived_, int barriers)
        : arrived(arrived_), last(gridDim.x * (barriers + 1) - 1) {}

    __device__ void wait() {
        goal += gridDim.x;
        __syncthreads();  // the block has written what it had to
        if (threadIdx.x == 0) {
            arrive();
            while (load_acquire(arrived) < goal) __nanosleep(20);
        }
        __syncthreads();
    }
    __device__ void leave() {
        if (threadIdx.x == 0) arrive();
    }
    __device__ void arrive() {
        __threadfence();
        atomicInc(arrived, last);
    }
};
