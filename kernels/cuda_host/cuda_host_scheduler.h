// The scheduler of cuda_host.h: runs the threads of a block in turns, from barrier to barrier.
#pragma once

namespace cuda_host {

static Warp warps[MAX_THREADS / 32];
static unsigned n_threads;   // of a block
static unsigned generation;  // barriers that the block has passed
static Gate gates[2];
static void (*body)(void **);
static void **arguments;
static const char *failure;

CUDA_HOST_UNSEEN static void fiber_main() {
    enter_fiber();
    body(arguments);
    leave_fiber();
    current->done = true;
    current->warp->alive--;
    yield();
}

CUDA_HOST_UNSEEN static void block_barrier() {
    current->waiting = true;
    wait(gates[generation & 1]);
}

CUDA_HOST_UNSEEN static void warp_barrier() {
    Warp &warp = *current->warp;
    current->waiting_warp = true;
    warp.arrived++;
    wait(warp.gates[warp.generation & 1]);
}

CUDA_HOST_UNSEEN static void warp_meeting() {
    current->waiting_warp = true;
    current->warp->arrived++;
    yield();
}

// Fills shared memory with NaN, in float and double alike. By hand, since AddressSanitizer would
// find its red zones between the variables in what memset fills.
__attribute__((no_sanitize("address", "thread"))) static void poison_shared() {
    size_t size = size_t(__stop_cuda_shared - __start_cuda_shared), words = size / 8;
    volatile unsigned long long *word = reinterpret_cast<unsigned long long *>(__start_cuda_shared);
    volatile char *rest = __start_cuda_shared + 8 * words;
    for (size_t i = 0; i < words; i++) word[i] = ~0ull;
    for (size_t i = 0; i < size % 8; i++) rest[i] = -1;
}

CUDA_HOST_UNSEEN static void begin_block(dim3 block) {
    poison_shared();
    blockIdx = block;
    for (unsigned i = 0; i < n_threads; i++) {
        Thread &t = threads[i];
        t.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
        t.lane = i % 32;
        t.warp = &warps[i / 32];
        if (t.lane == 0) t.warp->alive = t.warp->arrived = 0;
        t.warp->alive++;
        t.done = t.waiting = t.waiting_warp = false;
        t.n_copies = t.copy_group = 0;
        begin_thread(t);
        make_fiber(t);
    }
}

CUDA_HOST_UNSEEN static void run_block() {
    for (;;) {
        unsigned done = 0, waiting = 0, ran = 0;
        for (unsigned i = 0; i < n_threads; i++) {
            Thread &t = threads[i];
            if (t.done || t.waiting) continue;
            if (t.waiting_warp) {
                // the lane that finds its warp complete lets all of it go
                if (t.warp->arrived < t.warp->alive) continue;
                t.warp->arrived = 0;
                t.warp->generation++;
                for (unsigned j = i & ~31u; j < n_threads && j < (i | 31u) + 1; j++)
                    threads[j].waiting_warp = false;
            }
            current = &t;
            threadIdx = t.index;
            resume(t);
            ran++;
        }
        for (unsigned i = 0; i < n_threads; i++) {
            done += threads[i].done;
            waiting += threads[i].waiting;
        }
        if (done == n_threads) return;
        if (waiting == n_threads) {
            generation++;
            for (unsigned i = 0; i < n_threads; i++) threads[i].waiting = false;
        } else if (ran == 0) {
            failure = "a barrier was not reached by all threads of its block or warp";
            return;  // the other fibers are abandoned; their stacks are reused
        }
    }
}

static void run_grid() {
    if (!stacks) stacks = static_cast<char *>(aligned_alloc(16, MAX_THREADS * STACK));
    for (unsigned i = 0; i < n_threads; i++) threads[i].stack = stacks + i * STACK;
    begin_launch();
    for (unsigned z = 0; z < gridDim.z; z++)
        for (unsigned y = 0; y < gridDim.y; y++)
            for (unsigned x = 0; x < gridDim.x && !failure; x++) {
                begin_block({x, y, z});
                run_block();
                end_block();
            }
    end_launch();
}

}  // namespace cuda_host
