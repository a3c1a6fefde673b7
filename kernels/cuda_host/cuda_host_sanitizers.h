// Going to a fiber of cuda_host.h and back, as a sanitizer must be told of it.
//
// AddressSanitizer must know which stack it is on. ThreadSanitizer takes each fiber for a thread
// and is told of just the order that CUDA promises: what a thread does before a barrier comes
// before what the others do after it. It judges by that order, not by who happened to run first.
//
// With CUDA_HOST_RACING_BLOCKS in the environment a whole block is one thread to ThreadSanitizer,
// and nothing orders the blocks of a launch: it then reports two blocks that meet in an element. In a
// cooperative launch of several blocks it does so anyway, but sees no race in shared memory: theirs
// lies at the same addresses. There a launch of one block shows it.
#pragma once

#ifdef __has_feature  // clang
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#elif __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#elif defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
extern "C" void AnnotateBenignRaceSized(const char *file, int line, const volatile void *from,
                                        size_t size, const char *why);
#endif

namespace cuda_host {

#if defined(__SANITIZE_ADDRESS__)

static const void *scheduler_stack;
static size_t scheduler_stack_size;

static void begin_launch() {}
static void begin_thread(Thread &t) {
    __asan_unpoison_memory_region(t.stack, STACK);  // the last fiber's red zones
}
static void resume(Thread &t) {
    void *frames;
    __sanitizer_start_switch_fiber(&frames, t.stack, STACK);
    to_fiber(t);
    __sanitizer_finish_switch_fiber(frames, nullptr, nullptr);
}
static void yield() {
    void *frames = nullptr;
    __sanitizer_start_switch_fiber(current->done ? nullptr : &frames, scheduler_stack,
                                   scheduler_stack_size);
    to_scheduler();
    __sanitizer_finish_switch_fiber(frames, nullptr, nullptr);
}
static void enter_fiber() {
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_size);
}
static void leave_fiber() {}
static void wait(Gate &) { yield(); }
static void end_blocks() {}
static void end_launch() {}

#elif defined(__SANITIZE_THREAD__)

// One per thread of a block, or per block. As an inline variable they are one for all libraries of
// the process: ThreadSanitizer spends about 1 MB on each.
inline __attribute__((visibility("default"))) void *tsan_fibers[MAX_THREADS];
static void *tsan_scheduler;
static bool racing_blocks;
static Gate begun, ended;  // of a block; of the launch where blocks race

CUDA_HOST_UNSEEN static void *&tsan_fiber(Thread &t) {
    unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    return tsan_fibers[racing_blocks ? block % MAX_THREADS : unsigned(&t - threads)];
}

static void begin_launch() {
    tsan_scheduler = __tsan_get_current_fiber();
    racing_blocks = getenv("CUDA_HOST_RACING_BLOCKS");
    // of these each block has its own on a GPU
    if (racing_blocks || n_together > 1)
        AnnotateBenignRaceSized(__FILE__, __LINE__, __start_cuda_shared,
                                size_t(__stop_cuda_shared - __start_cuda_shared), "");
    if (racing_blocks)
        AnnotateBenignRaceSized(__FILE__, __LINE__, stacks, MAX_THREADS * STACK, "");
    __tsan_release(&begun);
}
CUDA_HOST_UNSEEN static void begin_thread(Thread &t) {
    void *&fiber = tsan_fiber(t);
    if (!fiber) fiber = __tsan_create_fiber(0);
    char name[100] = "";  // for its reports
    const dim3 &i = t.index, &b = blockIdx;
    int n = racing_blocks ? 0 : snprintf(name, 50, "thread %u,%u,%u of ", i.x, i.y, i.z);
    snprintf(name + n, 50, "block %u,%u,%u", b.x, b.y, b.z);
    __tsan_set_fiber_name(fiber, name);
}
CUDA_HOST_UNSEEN static void resume(Thread &t) {
    __tsan_switch_to_fiber(tsan_fiber(t), __tsan_switch_to_fiber_no_sync);
    to_fiber(t);
}
CUDA_HOST_UNSEEN static void yield() {
    __tsan_switch_to_fiber(tsan_scheduler, __tsan_switch_to_fiber_no_sync);
    to_scheduler();
}
static void enter_fiber() { __tsan_acquire(&begun); }
static void leave_fiber() { __tsan_release(&ended); }
CUDA_HOST_UNSEEN static void wait(Gate &gate) {
    if (!racing_blocks) __tsan_release(&gate);
    yield();
    if (!racing_blocks) __tsan_acquire(&gate);
}
static void end_blocks() {
    if (racing_blocks) return;
    __tsan_acquire(&ended);
    __tsan_release(&begun);
}
static void end_launch() { __tsan_acquire(&ended); }

#else

static void begin_launch() {}
static void begin_thread(Thread &) {}
static void resume(Thread &t) { to_fiber(t); }
static void yield() { to_scheduler(); }
static void enter_fiber() {}
static void leave_fiber() {}
static void wait(Gate &) { yield(); }
static void end_blocks() {}
static void end_launch() {}

#endif

}  // namespace cuda_host
