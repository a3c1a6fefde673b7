// The activations and their derivatives, one element at a time (see reference/activation.py).

static_assert(ACTIVATION_COUNT == 9, "an activation of conventions.py is missing here");

__device__ inline REAL sigmoid_of(REAL x) {
    REAL e = exp(-fabs(x));  // never overflows
    return (x >= 0 ? (REAL)1 : e) / (1 + e);
}

__device__ inline REAL gelu_tanh(REAL x) {
    return tanh(GELU_SCALE * x * (1 + GELU_CUBIC * x * x));
}

// y = act(x)
__device__ inline REAL activate(int activation, REAL x) {
    switch (activation) {
    case ACTIVATION_RELU: return x < 0 ? (REAL)0 : x;  // NaN passes
    case ACTIVATION_LEAKY_RELU: return x < 0 ? LEAKY_SLOPE * x : x;
    case ACTIVATION_ELU: return x < 0 ? (REAL)expm1(x) : x;
    case ACTIVATION_SIGMOID: return sigmoid_of(x);
    case ACTIVATION_TANH: return tanh(x);
    case ACTIVATION_SOFTPLUS: return (x < 0 ? (REAL)0 : x) + log1p(exp(-fabs(x)));
    case ACTIVATION_SILU: return x * sigmoid_of(x);
    case ACTIVATION_GELU: return x * (1 + gelu_tanh(x)) / 2;
    default: return x;
    }
}

// act' from the output y, or for silu and gelu from the input x
__device__ inline REAL activation_slope(int activation, REAL saved) {
    REAL x = saved, y = saved;
    switch (activation) {
    case ACTIVATION_RELU: return y > 0 ? (REAL)1 : (REAL)0;
    case ACTIVATION_LEAKY_RELU: return y > 0 ? (REAL)1 : LEAKY_SLOPE;
    case ACTIVATION_ELU: return y > 0 ? (REAL)1 : y + 1;
    case ACTIVATION_SIGMOID: return y * (1 - y);
    case ACTIVATION_TANH: return 1 - y * y;
    case ACTIVATION_SOFTPLUS: return -expm1(-y);
    case ACTIVATION_SILU: {
        REAL s = sigmoid_of(x);
        return s * (1 + x * (1 - s));
    }
    case ACTIVATION_GELU: {
        REAL t = gelu_tanh(x);
        REAL inner = GELU_SCALE * (1 + 3 * GELU_CUBIC * x * x);
        return (1 + t + x * (1 - t * t) * inner) / 2;
    }
    default: return (REAL)1;
    }
}

// act'' from what activation_slope has; 0 at kinks
__device__ inline REAL activation_bend(int activation, REAL saved) {
    REAL x = saved, y = saved;
    switch (activation) {
    case ACTIVATION_ELU: return y < 0 ? y + 1 : (REAL)0;
    case ACTIVATION_SIGMOID: return y * (1 - y) * (1 - 2 * y);
    case ACTIVATION_TANH: return 2 * y * (y * y - 1);
    case ACTIVATION_SOFTPLUS: return -expm1(-y) * exp(-y);
    case ACTIVATION_SILU: {
        REAL s = sigmoid_of(x);
        return s * (1 - s) * (2 + x * (1 - 2 * s));
    }
    case ACTIVATION_GELU: {
        REAL t = gelu_tanh(x), more = 3 * GELU_CUBIC * x * x;
        REAL inner = GELU_SCALE * (1 + more);
        return (1 - t * t) * (inner + (GELU_SCALE * more - x * t * (inner * inner)));
    }
    default: return (REAL)0;
    }
}
