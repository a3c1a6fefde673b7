// The kernels of the dense layer: three products, each at three sizes of tile.
//
//   dense_forward           y  = act(x @ w + b)
//   dense_backward_input    dx = (dz @ w.T) * act'(saved)
//   dense_backward_weights  dw = x.T @ dz, db = column sums of dz, split over the batch
//
// The file that includes this one says how sums are made: Product32, Product64 and Product128, each
// a Product<...> for tiles of that size and the template flags TA and TB.

// Shared memory must be declared in the kernel itself.
#define SHARED_TILES(P) __shared__ REAL shared_a[P::SHARED_A], shared_b[P::SHARED_B]

template <class P>
__device__ void forward(const REAL *x, const REAL *w, const REAL *b, int activation, REAL *y,
                        REAL *pre, int batch, int n_in, int n_out, REAL *shared_a, REAL *shared_b) {
    P product(x, w, batch, n_out, n_in, n_in);
    product.run(0, shared_a, shared_b, false);
    product.finish_forward(b, activation, y, pre, shared_a);
}

template <class P>
__device__ void backward_input(const REAL *dz, const REAL *w, int activation, const REAL *saved,
                               REAL *dx, int batch, int n_in, int n_out, REAL *shared_a,
                               REAL *shared_b) {
    P product(dz, w, batch, n_in, n_out, n_out);
    product.run(0, shared_a, shared_b, false);
    product.finish_input(activation, saved, dx, shared_a);
}

// Split z takes the samples z * per_split .. and writes its own dw and db; sum_splits adds them.
template <class P>
__device__ void backward_weights(const REAL *x, const REAL *dz, REAL *dw, REAL *db, int batch,
                                 int n_in, int n_out, int per_split, REAL *shared_a,
                                 REAL *shared_b) {
    int first = (int)blockIdx.z * per_split;
    int last = first + per_split < batch ? first + per_split : batch;
    P product(x, dz, n_in, n_out, batch, last);
    product.run(first, shared_a, shared_b, blockIdx.y == 0);
    product.finish_weights(dw + (long long)blockIdx.z * n_in * n_out,
                           db + (long long)blockIdx.z * n_out);
}

// 32 x 32 tiles: many blocks, for small matrices.

extern "C" __global__ void __launch_bounds__(THREADS) dense_forward_32(
    const REAL *x, const REAL *w, const REAL *b, int activation, REAL *y, REAL *pre, int batch,
    int n_in, int n_out) {
    using P = Product32<false, false>;
    SHARED_TILES(P);
    forward<P>(x, w, b, activation, y, pre, batch, n_in, n_out, shared_a, shared_b);
}

extern "C" __global__ void __launch_bounds__(THREADS) dense_backward_input_32(
    const REAL *dz, const REAL *w, int activation, const REAL *saved, REAL *dx, int batch,
    int n_in, int n_out) {
    using P = Product32<false, true>;
    SHARED_TILES(P);
    backward_input<P>(dz, w, activation, saved, dx, batch, n_in, n_out, shared_a, shared_b);
}

extern "C" __global__ void __launch_bounds__(THREADS) dense_backward_weights_32(
    const REAL *x, const REAL *dz, REAL *dw, REAL *db, int batch, int n_in, int n_out,
    int per_split) {
    using P = Product32<true, false>;
    SHARED_TILES(P);
    backward_weights<P>(x, dz, dw, db, batch, n_in, n_out, per_split, shared_a, shared_b);
}

// 64 x 64 tiles.

extern "C" __global__ void __launch_bounds__(THREADS) dense_forward_64(
    const REAL *x, const REAL *w, const REAL *b, int activation, REAL *y, REAL *pre, int batch,
    int n_in, int n_out) {
    using P = Product64<false, false>;
    SHARED_TILES(P);
    forward<P>(x, w, b, activation, y, pre, batch, n_in, n_out, shared_a, shared_b);
}

extern "C" __global__ void __launch_bounds__(THREADS) dense_backward_input_64(
    const REAL *dz, const REAL *w, int activation, const REAL *saved, REAL *dx, int batch,
    int n_in, int n_out) {
    using P = Product64<false, true>;
    SHARED_TILES(P);
    backward_input<P>(dz, w, activation, saved, dx, batch, n_in, n_out, shared_a, shared_b);
}

extern "C" __global__ void __launch_bounds__(THREADS) dense_backward_weights_64(
    const REAL *x, const REAL *dz, REAL *dw, REAL *db, int batch, int n_in, int n_out,
    int per_split) {
    using P = Product64<true, false>;
    SHARED_TILES(P);
    backward_weights<P>(x, dz, dw, db, batch, n_in, n_out, per_split, shared_a, shared_b);
}

// 128 x 128 tiles: the most arithmetic per byte, for large matrices.

extern "C" __global__ void __launch_bounds__(THREADS) dense_forward_128(
    const REAL *x, const REAL *w, const REAL *b, int activation, REAL *y, REAL *pre, int batch,
    int n_in, int n_out) {
    using P = Product128<false, false>;
    SHARED_TILES(P);
    forward<P>(x, w, b, activation, y, pre, batch, n_in, n_out, shared_a, shared_b);
}

extern "C" __global__ void __launch_bounds__(THREADS) dense_backward_input_128(
    const REAL *dz, const REAL *w, int activation, const REAL *saved, REAL *dx, int batch,
    int n_in, int n_out) {
    using P = Product128<false, true>;
    SHARED_TILES(P);
    backward_input<P>(dz, w, activation, saved, dx, batch, n_in, n_out, shared_a, shared_b);
}

extern "C" __global__ void __launch_bounds__(THREADS) dense_backward_weights_128(
    const REAL *x, const REAL *dz, REAL *dw, REAL *db, int batch, int n_in, int n_out,
    int per_split) {
    using P = Product128<true, false>;
    SHARED_TILES(P);
    backward_weights<P>(x, dz, dw, db, batch, n_in, n_out, per_split, shared_a, shared_b);
}

// out[i] = the sum of parts[split][i], always in the same order: two runs give the same bits.
extern "C" __global__ void sum_splits(const REAL *parts, int splits, long long n, REAL *out) {
    long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        REAL sum = 0;
        for (int split = 0; split < splits; split++) sum += parts[split * n + i];
        out[i] = sum;
    }
}
