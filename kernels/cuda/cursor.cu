// Where an epoch stands, in device memory: so that a step that was recorded once can be replayed
// with other samples and other numbers, and the host sends nothing within an epoch.
//
// cursor[0] is the step. ``numbers`` has a row for each step of the epoch: the optimiser's numbers
// (HYPER_...), the code noise's deviation, and the update's number, which names its random numbers.

// positions = the step's part of order; hyper, std and state[3] = the step's numbers
extern "C" __global__ void begin_step(const long long *cursor, const long long *order,
                                      long long batch_size, const double *numbers,
                                      long long *positions, long long n, double *hyper,
                                      double *std, unsigned *state) {
    const long long step = cursor[0], first = step * batch_size;
    const long long stride = (long long)gridDim.x * blockDim.x;
    const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    for (long long i = thread; i < n; i += stride) positions[i] = order[first + i];
    const double *row = numbers + step * (HYPER_COUNT + 2);
    if (thread < HYPER_COUNT) hyper[thread] = row[thread];
    if (thread == 0) {
        std[0] = row[HYPER_COUNT];
        state[3] = (unsigned)row[HYPER_COUNT + 1];
    }
}

// history[step] = totals, and on to the next step
extern "C" __global__ void end_step(long long *cursor, const double *totals, double *history) {
    const long long step = cursor[0];
    __syncthreads();  // both have read it
    history[2 * step + threadIdx.x] = totals[threadIdx.x];
    if (threadIdx.x == 0) cursor[0] = step + 1;
}
