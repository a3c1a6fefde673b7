// Fibers of cuda_host.h: stacks that one thread of the system goes to and comes back from.
#pragma once

#ifdef __x86_64__
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
#else
#include <ucontext.h>
#endif

namespace cuda_host {

constexpr unsigned MAX_THREADS = 1024;  // of a block, and of all blocks that are there at once
constexpr size_t STACK = 64 * 1024;

static Thread threads[MAX_THREADS];
static unsigned n_together;  // blocks that are there at once
static char *stacks;  // of all of them

static void fiber_main();  // what a fiber does; it never returns

#ifdef __x86_64__

static void *scheduler;

CUDA_HOST_UNSEEN static void make_fiber(Thread &t) {
    void **top = reinterpret_cast<void **>(t.stack + STACK);
    *--top = nullptr;  // where fiber_main would return to; keeps the stack aligned as by a call
    *--top = reinterpret_cast<void *>(fiber_main);
    for (int i = 0; i < 6; i++) *--top = nullptr;
    t.stack_pointer = top;
}
CUDA_HOST_UNSEEN static void to_fiber(Thread &t) { cuda_host_switch(&scheduler, t.stack_pointer); }
CUDA_HOST_UNSEEN static void to_scheduler() {
    cuda_host_switch(&current->stack_pointer, scheduler);
}

#else

static ucontext_t scheduler, contexts[MAX_THREADS];

CUDA_HOST_UNSEEN static void make_fiber(Thread &t) {
    ucontext_t &c = contexts[&t - threads];
    getcontext(&c);
    c.uc_stack.ss_sp = t.stack;
    c.uc_stack.ss_size = STACK;
    c.uc_link = nullptr;
    makecontext(&c, fiber_main, 0);
}
CUDA_HOST_UNSEEN static void to_fiber(Thread &t) {
    swapcontext(&scheduler, &contexts[&t - threads]);
}
CUDA_HOST_UNSEEN static void to_scheduler() {
    swapcontext(&contexts[current - threads], &scheduler);
}

#endif

}  // namespace cuda_host
