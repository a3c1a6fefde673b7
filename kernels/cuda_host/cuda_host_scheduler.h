// The scheduler of cuda_host.h: runs the threads of a block in turns, from barrier to barrier, and
// the blocks of a cooperative launch too, from where one waits for others to where it does so again.
#pragma once

namespace cuda_host {

struct Block {
    dim3 index;
    Thread *threads;
    unsigned generation;  // barriers passed
    Gate gates[2];
    bool done;
};

// Those that are there at once: one, or all of a cooperative launch.
static Block blocks[MAX_THREADS];
static Warp warps[MAX_THREADS];
static Block *running;
static char *kept;          // shared memory of blocks that wait for their turns
static unsigned n_threads;  // of a block
static unsigned progress;   // barriers passed and threads ended
static void (*body)(void **);
static void **arguments;
static const char *failure;

constexpr unsigned PATIENCE = 100;  // turns of all blocks in which none of them comes further

CUDA_HOST_UNSEEN static void fiber_main() {
    enter_fiber();
    body(arguments);
    leave_fiber();
    current->done = true;
    current->warp->alive--;
    progress++;
    yield();
}

CUDA_HOST_UNSEEN static void block_barrier() {
    current->waiting = true;
    wait(running->gates[running->generation & 1]);
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

CUDA_HOST_UNSEEN static void sleep() {
    current->asleep = true;
    yield();
}

static size_t shared_size() { return size_t(__stop_cuda_shared - __start_cuda_shared); }

// Copies shared memory; from null: NaN, in float and double alike. By hand, since AddressSanitizer
// would find its red zones between the variables in what memcpy touches.
__attribute__((no_sanitize("address", "thread"))) static void copy_shared(char *to, char *from) {
    using Word = volatile unsigned long long;
    size_t words = shared_size() / 8;
    for (size_t i = 0; i < words; i++) ((Word *)to)[i] = from ? ((Word *)from)[i] : ~0ull;
    for (size_t i = 8 * words; i < shared_size(); i++)
        ((volatile char *)to)[i] = from ? ((volatile char *)from)[i] : -1;
}

CUDA_HOST_UNSEEN static char *kept_of(const Block &b) {
    return kept + size_t(&b - blocks) * (shared_size() / 16 + 1) * 16;
}

CUDA_HOST_UNSEEN static void begin_block(Block &b, dim3 index) {
    b.index = blockIdx = index;
    b.threads = threads + (&b - blocks) * n_threads;
    b.done = false;
    copy_shared(n_together > 1 ? kept_of(b) : __start_cuda_shared, nullptr);
    for (unsigned i = 0; i < n_threads; i++) {
        Thread &t = b.threads[i];
        t.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
        t.lane = i % 32;
        t.warp = &warps[(&b - blocks) * ((n_threads + 31) / 32) + i / 32];
        if (t.lane == 0) t.warp->alive = t.warp->arrived = 0;
        t.warp->alive++;
        t.done = t.waiting = t.waiting_warp = t.asleep = false;
        t.n_copies = t.copy_group = 0;
        begin_thread(t);
        make_fiber(t);
    }
}

// Until all threads of the block have ended, or no other can go on while some sleep.
CUDA_HOST_UNSEEN static void run_threads(Block &b) {
    for (unsigned i = 0; i < n_threads; i++) b.threads[i].asleep = false;
    for (;;) {
        unsigned done = 0, waiting = 0, asleep = 0, ran = 0;
        for (unsigned i = 0; i < n_threads; i++) {
            Thread &t = b.threads[i];
            if (t.done || t.waiting || t.asleep) continue;
            if (t.waiting_warp) {
                // the lane that finds its warp complete lets all of it go
                if (t.warp->arrived < t.warp->alive) continue;
                t.warp->arrived = 0;
                t.warp->generation++;
                for (unsigned j = i & ~31u; j < n_threads && j < (i | 31u) + 1; j++)
                    b.threads[j].waiting_warp = false;
            }
            current = &t;
            threadIdx = t.index;
            resume(t);
            ran++;
        }
        for (unsigned i = 0; i < n_threads; i++) {
            done += b.threads[i].done;
            waiting += b.threads[i].waiting;
            asleep += b.threads[i].asleep;
        }
        b.done = done == n_threads;
        if (b.done || (ran == 0 && asleep > 0)) return;
        if (waiting == n_threads) {
            b.generation++;
            progress++;
            for (unsigned i = 0; i < n_threads; i++) b.threads[i].waiting = false;
        } else if (ran == 0) {
            failure = "a barrier was not reached by all threads of its block or warp";
            return;  // the other fibers are abandoned; their stacks are reused
        }
    }
}

CUDA_HOST_UNSEEN static void run_block(Block &b) {
    running = &b;
    blockIdx = b.index;
    if (n_together > 1) copy_shared(__start_cuda_shared, kept_of(b));
    run_threads(b);
    if (n_together > 1) copy_shared(kept_of(b), __start_cuda_shared);
}

CUDA_HOST_UNSEEN static void run_together() {
    for (unsigned left = n_together, idle = 0; left > 0 && !failure;) {
        unsigned before = progress;
        left = 0;
        for (unsigned i = 0; i < n_together && !failure; i++) {
            if (!blocks[i].done) run_block(blocks[i]);
            left += !blocks[i].done;
        }
        idle = progress == before ? idle + 1 : 0;
        if (idle > PATIENCE && !failure)
            failure = "a block waits for another that does not come, or that is not there because "
                      "the launch is not cooperative";
    }
}

CUDA_HOST_UNSEEN static void run_grid(bool cooperative) {
    unsigned n_blocks = gridDim.x * gridDim.y * gridDim.z;
    if (!stacks) stacks = static_cast<char *>(aligned_alloc(16, MAX_THREADS * STACK));
    for (unsigned i = 0; i < MAX_THREADS; i++) threads[i].stack = stacks + i * STACK;
    n_together = cooperative ? n_blocks : 1;
    if (n_together > 1)
        kept = static_cast<char *>(aligned_alloc(16, n_together * (shared_size() / 16 + 1) * 16));
    begin_launch();
    for (unsigned i = 0; i < n_blocks && !failure; i += n_together) {
        for (unsigned j = 0; j < n_together; j++) {
            unsigned n = i + j, x = gridDim.x, y = gridDim.y;
            begin_block(blocks[j], {n % x, n / x % y, n / (x * y)});
        }
        run_together();
        end_blocks();
    }
    end_launch();
    if (n_together > 1) free(kept);
}

}  // namespace cuda_host
