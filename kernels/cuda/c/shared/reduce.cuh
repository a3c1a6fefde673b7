// Sums over a block, always in the same order: two runs give the same bits.

#define REDUCE_THREADS 256

// The sum of all threads' values, in thread 0. ``shared`` holds REDUCE_THREADS doubles.
__device__ inline double block_sum(double value, double *shared) {
    int t = (int)threadIdx.x;
    shared[t] = value;
    __syncthreads();
    for (int half = REDUCE_THREADS / 2; half > 0; half /= 2) {
        if (t < half) shared[t] += shared[t + half];
        __syncthreads();
    }
    return shared[0];
}

// The sum of parts[0 .. n), in thread 0: the second stage, run by a single block.
__device__ inline double sum_parts(const double *parts, int n, double *shared) {
    double sum = 0;
    for (int i = (int)threadIdx.x; i < n; i += REDUCE_THREADS) sum += parts[i];
    return block_sum(sum, shared);
}
