// The scheduler of cuda_host.h for ThreadSanitizer: one system thread per CUDA thread.
#pragma once

#include <pthread.h>

namespace cuda_host {

struct Barrier {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t all_here = PTHREAD_COND_INITIALIZER;
    unsigned arrived = 0, generation = 0;

    void wait(unsigned expected) {
        pthread_mutex_lock(&mutex);
        unsigned mine = generation;
        if (++arrived == expected) {
            arrived = 0;
            generation++;
            pthread_cond_broadcast(&all_here);
        } else {
            while (generation == mine) pthread_cond_wait(&all_here, &mutex);
        }
        pthread_mutex_unlock(&mutex);
    }
};

static Barrier block_gate, step_gate, warp_gates[MAX_THREADS / 32];

void block_barrier() { block_gate.wait(n_threads); }

void warp_barrier() { warp_gates[current->warp - warps].wait(current->warp->alive); }

// A barrier that some threads never reach hangs here; the fibers report it.
static void *thread_main(void *self) {
    Thread *me = static_cast<Thread *>(self);
    for (unsigned z = 0; z < grid_dim.z; z++)
        for (unsigned y = 0; y < grid_dim.y; y++)
            for (unsigned x = 0; x < grid_dim.x; x++) {
                if (me == threads) {
                    block_index = {x, y, z};
                    prepare_block();
                }
                step_gate.wait(n_threads);
                current = me;
                body(arguments);
                step_gate.wait(n_threads);
            }
    return nullptr;
}

static void run_grid() {
    static pthread_t handles[MAX_THREADS];
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    for (unsigned i = 0; i < n_threads; i++)
        if (pthread_create(&handles[i], &attributes, thread_main, &threads[i])) abort();
    for (unsigned i = 0; i < n_threads; i++) pthread_join(handles[i], nullptr);
    pthread_attr_destroy(&attributes);
}

}  // namespace cuda_host
