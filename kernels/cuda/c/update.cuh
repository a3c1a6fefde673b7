// Optimiser updates: a pass over the flat array of all parameters (see reference/update.py).
//
// The step's numbers (learning rate, corrections for the step count, ...) are read from device
// memory, so that a recorded step can be replayed with new ones; and so is guard, the step's
// loss: where it is not finite nothing is written, and the last good weights stay. It is asked for
// after the numbers, so that their answers are waited for together.
//
// A recorded step ends here: its loss goes into the epoch's history, and the cursor (see gather.cu)
// to the next step. Elsewhere cursor is null.

#include "elementwise.cuh"

static_assert(OPTIMIZER_COUNT == 5, "an optimiser of conventions.py is missing here");

struct Parameter {
    REAL w, g, m = 0, v = 0;  // the value, its gradient, and the moments that an optimiser has
};

// history[step] = totals, and on to the next step; is the loss, totals[0], finite?
__device__ inline bool end_step(const double *totals, long long *cursor, double *history) {
    if (cursor && blockIdx.x == 0 && threadIdx.x == 0) {
        const long long step = cursor[0];
        history[2 * step] = totals[0];
        history[2 * step + 1] = totals[1];
        cursor[0] = step + 1;
    }
    return isfinite(totals[0]);
}

// The rules: which moments an optimiser has, the step's numbers, and how a parameter moves. A weight
// decays, a bias does not.

// w -= lr g
struct Sgd {
    static constexpr bool HAS_M = false, HAS_V = false;
    REAL rate, decay;

    __device__ explicit Sgd(const double *hyper)
        : rate((REAL)hyper[HYPER_LEARNING_RATE]), decay((REAL)hyper[HYPER_WEIGHT_DECAY]) {}
    __device__ REAL decayed(const Parameter &p, bool decays) const {
        return decays ? p.g + decay * p.w : p.g;
    }
    __device__ void move(Parameter &p, bool decays) const { p.w -= rate * decayed(p, decays); }
};

// v = mu v + g, w -= lr v
struct Momentum : Sgd {
    static constexpr bool HAS_V = true;
    REAL mu;

    __device__ explicit Momentum(const double *hyper)
        : Sgd(hyper), mu((REAL)hyper[HYPER_MOMENTUM]) {}
    __device__ void move(Parameter &p, bool decays) const {
        p.v = mu * p.v + decayed(p, decays);
        p.w -= rate * p.v;
    }
};

// v = mu v + g, w -= lr (g + mu v)
struct Nesterov : Momentum {
    using Momentum::Momentum;
    __device__ void move(Parameter &p, bool decays) const {
        REAL g = decayed(p, decays);
        p.v = mu * p.v + g;
        p.w -= rate * (g + mu * p.v);
    }
};

// m, v = moving means of g and g^2; w -= lr m^ / (sqrt(v^) + eps)
struct Adam : Sgd {
    static constexpr bool HAS_M = true, HAS_V = true;
    REAL beta1, beta2, one_minus_beta1, one_minus_beta2, eps, step, correction2;

    __device__ explicit Adam(const double *hyper)
        : Sgd(hyper), beta1((REAL)hyper[HYPER_BETA1]), beta2((REAL)hyper[HYPER_BETA2]),
          one_minus_beta1((REAL)(1 - hyper[HYPER_BETA1])),
          one_minus_beta2((REAL)(1 - hyper[HYPER_BETA2])), eps((REAL)hyper[HYPER_EPS]),
          step((REAL)(hyper[HYPER_LEARNING_RATE] / hyper[HYPER_CORRECTION1])),
          correction2((REAL)hyper[HYPER_CORRECTION2]) {}

    // Advances the moments by g; returns lr m^ / (sqrt(v^) + eps).
    __device__ REAL advance(REAL g, Parameter &p) const {
        p.m = beta1 * p.m + one_minus_beta1 * g;
        p.v = beta2 * p.v + one_minus_beta2 * (g * g);
        return step * p.m / (sqrt(p.v / correction2) + eps);
    }
    __device__ void move(Parameter &p, bool decays) const { p.w -= advance(decayed(p, decays), p); }
};

// w *= 1 - lr decay, then adam without decay in g
struct AdamW : Adam {
    REAL keep;

    __device__ explicit AdamW(const double *hyper)
        : Adam(hyper), keep((REAL)(1 - hyper[HYPER_LEARNING_RATE] * hyper[HYPER_WEIGHT_DECAY])) {}
    __device__ void move(Parameter &p, bool decays) const {
        REAL shrunk = decays ? keep * p.w : p.w;
        p.w = shrunk - advance(p.g, p);
    }
};

// The first n_decayed parameters are weights. m, v: read and written if the rule has them.
template <class Rule>
__device__ void update_all(REAL *w, const REAL *grad, REAL *m, REAL *v, const double *hyper,
                           long long n_decayed, const double *guard, long long *cursor,
                           double *history, long long n) {
    const Rule rule(hyper);
    if (!end_step(guard, cursor, history)) return;
    auto read = [&](long long i) {
        Parameter p = {w[i], grad[i]};
        if (Rule::HAS_V) p.v = v[i];
        if (Rule::HAS_M) p.m = m[i];
        return p;
    };
    for_each(n, read, [&](long long i, Parameter p) {
        rule.move(p, i < n_decayed);
        w[i] = p.w;
        if (Rule::HAS_M) m[i] = p.m;
        if (Rule::HAS_V) v[i] = p.v;
    });
}
