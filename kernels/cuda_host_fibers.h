// The scheduler of cuda_host.h: one fiber per CUDA thread, on one thread of the system.
#pragma once

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
// Saves the callee-saved registers on the old stack and takes them from the new one: a hundred
// times faster than swapcontext, which asks the kernel for the signal mask each time.
extern "C" void cuda_host_switch(void **save, void *load);
asm(".text\n"
    ".type cuda_host_switch, @function\n"
    "cuda_host_switch:\n"
    "    pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp\n"
    "    ret\n"
    ".size cuda_host_switch, .-cuda_host_switch\n");
#define CUDA_HOST_ASSEMBLY 1
#else
#include <ucontext.h>
#endif

namespace cuda_host {

static void finish();

static void fiber_main() {
    body(arguments);
    finish();
}

#ifdef CUDA_HOST_ASSEMBLY

static void *scheduler;

static void start(Thread &t) {
    if (!t.stack) t.stack = static_cast<char *>(aligned_alloc(16, STACK));
    void **top = reinterpret_cast<void **>(t.stack + STACK);
    *--top = nullptr;  // where fiber_main would return to; keeps the stack aligned as by a call
    *--top = reinterpret_cast<void *>(fiber_main);
    for (int i = 0; i < 6; i++) *--top = nullptr;
    t.stack_pointer = top;
}
static void resume(Thread &t) { cuda_host_switch(&scheduler, t.stack_pointer); }
static void yield() { cuda_host_switch(&current->stack_pointer, scheduler); }

#else

static ucontext_t scheduler, contexts[MAX_THREADS];

static void start(Thread &t) {
    if (!t.stack) t.stack = static_cast<char *>(malloc(STACK));
    ucontext_t &c = contexts[&t - threads];
    getcontext(&c);
    c.uc_stack.ss_sp = t.stack;
    c.uc_stack.ss_size = STACK;
    c.uc_link = nullptr;
    makecontext(&c, fiber_main, 0);
}
static void resume(Thread &t) { swapcontext(&scheduler, &contexts[&t - threads]); }
static void yield() { swapcontext(&contexts[current - threads], &scheduler); }

#endif

static void finish() {
    current->done = true;
    current->warp->alive--;
    yield();
}

void block_barrier() {
    current->waiting = true;
    yield();
}

void warp_barrier() {
    current->waiting_warp = true;
    current->warp->arrived++;
    yield();
}

// Runs every thread of the block from barrier to barrier.
static void run_block() {
    for (unsigned i = 0; i < n_threads; i++) start(threads[i]);
    for (;;) {
        unsigned done = 0, waiting = 0, ran = 0;
        for (unsigned i = 0; i < n_threads; i++) {
            Thread &t = threads[i];
            if (t.done || t.waiting) continue;
            if (t.waiting_warp) {
                // the lane that finds its warp complete lets all of it go
                if (t.warp->arrived < t.warp->alive) continue;
                t.warp->arrived = 0;
                for (unsigned j = i & ~31u; j < n_threads && j < (i | 31u) + 1; j++)
                    threads[j].waiting_warp = false;
            }
            current = &t;
            resume(t);
            ran++;
        }
        for (unsigned i = 0; i < n_threads; i++) {
            done += threads[i].done;
            waiting += threads[i].waiting;
        }
        if (done == n_threads) return;
        if (waiting == n_threads) {
            for (unsigned i = 0; i < n_threads; i++) threads[i].waiting = false;
        } else if (ran == 0) {
            failure = "a barrier was not reached by all threads of its block or warp";
            return;  // the other fibers are abandoned; their stacks are reused
        }
    }
}

static void run_grid() {
    for (unsigned z = 0; z < grid_dim.z; z++)
        for (unsigned y = 0; y < grid_dim.y; y++)
            for (unsigned x = 0; x < grid_dim.x; x++) {
                block_index = {x, y, z};
                prepare_block();
                run_block();
                if (failure) return;
            }
}

}  // namespace cuda_host
