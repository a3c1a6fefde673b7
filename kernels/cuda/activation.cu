// Activations by themselves; inside a net they are the epilogues of dense.cu.

#include "activation.cuh"
#include "elementwise.cuh"

struct Slope {
    REAL dy, saved;
};

extern "C" __global__ void activation_forward(const REAL *x, int activation, REAL *y, long long n) {
    auto read = [&](long long i) { return x[i]; };
    for_each(n, read, [&](long long i, REAL x_i) { y[i] = activate(activation, x_i); });
}

// dx may be dy: each element is read before it is written, by the same thread
extern "C" __global__ void activation_backward(const REAL *dy, int activation, const REAL *saved,
                                               REAL *dx, long long n) {
    auto read = [&](long long i) { return Slope{dy[i], saved[i]}; };
    for_each(n, read, [&](long long i, Slope s) {
        dx[i] = s.dy * activation_slope(activation, s.saved);
    });
}

// dx may be dy too
extern "C" __global__ void activation_curvature(const REAL *dy, int activation, const REAL *saved,
                                                REAL *dx, long long n) {
    auto read = [&](long long i) { return Slope{dy[i], saved[i]}; };
    for_each(n, read, [&](long long i, Slope s) {
        dx[i] = s.dy * activation_bend(activation, s.saved);
    });
}
