// The gathering of a minibatch (see gather.cuh) by a launch of its own.
//
// A step that was recorded once is replayed with other samples and other numbers, and the host sends
// nothing within an epoch: cursor[0], in device memory, is the step. indices are then those of an
// epoch, and ``numbers`` has a row for each: the optimiser's numbers (HYPER_...), the code noise's
// deviation, and the update's number, which names its random numbers.

#include "gather.cuh"

// With a cursor the step's batch is gathered, and its row of numbers goes to hyper, std and state[3].
// Threads lie side by side along x, and rows along y.
extern "C" __global__ void gather(const void *data, int kind, long long n,
                                  const long long *indices, REAL scale, REAL *out, int batch,
                                  int features, const long long *cursor, long long batch_size,
                                  const double *numbers, double *hyper, double *std,
                                  unsigned *state) {
    if (cursor) {
        indices += cursor[0] * batch_size;
        const double *row = numbers + cursor[0] * (HYPER_COUNT + 2);
        const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x;
        const bool first_block = blockIdx.x == 0 && blockIdx.y == 0;
        if (first_block && thread < HYPER_COUNT) hyper[thread] = row[thread];
        if (first_block && thread == 0) {
            std[0] = row[HYPER_COUNT];
            state[3] = (unsigned)row[HYPER_COUNT + 1];
        }
    }
    gather_batch(data, kind, n, indices, scale, out, batch, features,
                 {(int)(blockIdx.x * blockDim.x + threadIdx.x), (int)(gridDim.x * blockDim.x),
                  (int)(blockIdx.y * blockDim.y + threadIdx.y), (int)(gridDim.y * blockDim.y)});
}
