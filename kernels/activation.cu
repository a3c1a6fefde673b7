// Activations by themselves; inside a net they are the epilogues of dense.cu.

#include "activation.cuh"

extern "C" __global__ void activation_forward(const REAL *x, int activation, REAL *y, long long n) {
    long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
        y[i] = activate(activation, x[i]);
}

// dx may be dy: each element is read before it is written, by the same thread
extern "C" __global__ void activation_backward(const REAL *dy, int activation, const REAL *saved,
                                               REAL *dx, long long n) {
    long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
        dx[i] = dy[i] * activation_slope(activation, saved[i]);
}
