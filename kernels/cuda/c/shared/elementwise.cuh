// A pass over many elements, several of each thread's on their way from memory at once.
//
// Memory answers late, so it must be asked for much at a time: bytes in flight = bandwidth x
// latency (Little's law; Volkov, "Better performance at lower occupancy", 2010). With the 4.3 TB/s
// of an H200's copy and, say, half a microsecond, these are 16 KB for each of its 132
// multiprocessors. For all that the compiler knows a store changes what is read after it, so it
// moves no read across one: here all reads of a round come before its first store.

#define UNROLL ((int)(16 / sizeof(REAL)))  // elements of a thread in a round

// use(i, read(i)) for i = first, first + stride, ... < n, in this order.
//
// read must have no effect: past the end it is called for the round's first element once more.
// That costs a read from the cache, where a condition might cost a branch, at which what is read
// inside would wait for what was read before.
template <class Read, class Use>
__device__ void visit(long long first, long long stride, long long n, Read read, Use use) {
#pragma unroll 1  // a round is unrolled, that is enough
    for (long long i = first; i < n; i += UNROLL * stride) {
        decltype(read(i)) element[UNROLL];
#pragma unroll
        for (int u = 0; u < UNROLL; u++) element[u] = read(i + u * stride < n ? i + u * stride : i);
#pragma unroll
        for (int u = 0; u < UNROLL; u++)
            if (u == 0 || i + u * stride < n) use(i + u * stride, element[u]);
    }
}

// The whole grid visits 0 .. n - 1. A thread's elements lie a grid apart, so that at each moment
// neighbouring threads have neighbouring elements; and no array needs to be aligned.
template <class Read, class Use> __device__ void for_each(long long n, Read read, Use use) {
    visit((long long)blockIdx.x * blockDim.x + threadIdx.x, (long long)gridDim.x * blockDim.x, n,
          read, use);
}
