// The kernels of the dense layer: three products, each at every size of tile.
//
//   dense_forward           y  = act(x @ w + b)
//   dense_backward_input    dx = (dz @ w.T) * act'(saved)
//   dense_backward_weights  dw = x.T @ dz, db = column sums of dz
//
// Where a product's sums are split, block z of the grid's third axis makes part z of them, the
// terms z * per_part .. of each; then a sum_... kernel adds the parts up and does what is left.
//
// __launch_bounds__ also says how many blocks a multiprocessor shall have at once, at least: left
// to itself, the compiler makes room for more and spills registers for it. For the largest tile
// BLOCKS_128 says so, which the file that includes this one defines.
//
// The file that includes this one says how sums are made: Product32x32 and so on, each a
// Product<...> for tiles of that size and the template flags TA and TB.

// Shared memory must be declared in the kernel itself.
#define SHARED_TILES(P)                                                                       \
    alignas(16) __shared__ REAL shared_a[P::SHARED_A];                                        \
    alignas(16) __shared__ REAL shared_b[P::SHARED_B]

// y: where sums are split, room for all parts, one (batch, n_out) after the other
template <class P>
__device__ void forward(const REAL *x, const REAL *w, const REAL *b, int activation, REAL *y,
                        REAL *pre, int batch, int n_in, int n_out, int per_part, REAL *shared_a,
                        REAL *shared_b) {
    int first = (int)blockIdx.z * per_part;
    P product(x, w, batch, n_out, n_in, first, min(first + per_part, n_in));
    product.run(shared_a, shared_b, false);
    if (gridDim.z == 1)
        product.finish_forward(b, activation, y, pre, shared_a);
    else
        product.finish_part(y + (long long)blockIdx.z * batch * n_out, shared_a);
}

// dx: likewise
template <class P>
__device__ void backward_input(const REAL *dz, const REAL *w, int activation, const REAL *saved,
                               REAL *dx, int batch, int n_in, int n_out, int per_part,
                               REAL *shared_a, REAL *shared_b) {
    int first = (int)blockIdx.z * per_part;
    P product(dz, w, batch, n_in, n_out, first, min(first + per_part, n_out));
    product.run(shared_a, shared_b, false);
    if (gridDim.z == 1)
        product.finish_input(activation, saved, dx, shared_a);
    else
        product.finish_part(dx + (long long)blockIdx.z * batch * n_in, shared_a);
}

// dw, db: where sums are split, a part is (n_in + 1, n_out) and its last row that of db
template <class P>
__device__ void backward_weights(const REAL *x, const REAL *dz, REAL *dw, REAL *db, int batch,
                                 int n_in, int n_out, int per_part, REAL *shared_a,
                                 REAL *shared_b) {
    int first = (int)blockIdx.z * per_part;
    long long part = (long long)blockIdx.z * (n_in + 1) * n_out;
    P product(x, dz, n_in, n_out, batch, first, min(first + per_part, batch));
    product.run(shared_a, shared_b, blockIdx.y == 0);
    product.finish_part(dw + part, shared_a);
    product.finish_columns(db + part);
}

// 32 x 32 tiles: many blocks, for small matrices.

extern "C" __global__ void __launch_bounds__(THREADS, 2) dense_forward_32x32(
    const REAL *x, const REAL *w, const REAL *b, int activation, REAL *y, REAL *pre, int batch,
    int n_in, int n_out, int per_part) {
    using P = Product32x32<false, false>;
    SHARED_TILES(P);
    forward<P>(x, w, b, activation, y, pre, batch, n_in, n_out, per_part, shared_a, shared_b);
}

extern "C" __global__ void __launch_bounds__(THREADS, 2) dense_backward_input_32x32(
    const REAL *dz, const REAL *w, int activation, const REAL *saved, REAL *dx, int batch,
    int n_in, int n_out, int per_part) {
    using P = Product32x32<false, true>;
    SHARED_TILES(P);
    backward_input<P>(dz, w, activation, saved, dx, batch, n_in, n_out, per_part, shared_a,
                      shared_b);
}

extern "C" __global__ void __launch_bounds__(THREADS, 2) dense_backward_weights_32x32(
    const REAL *x, const REAL *dz, REAL *dw, REAL *db, int batch, int n_in, int n_out,
    int per_part) {
    using P = Product32x32<true, false>;
    SHARED_TILES(P);
    backward_weights<P>(x, dz, dw, db, batch, n_in, n_out, per_part, shared_a, shared_b);
}

// 32 x 64 tiles: for few rows, as of a small batch.

extern "C" __global__ void __launch_bounds__(THREADS, 2) dense_forward_32x64(
    const REAL *x, const REAL *w, const REAL *b, int activation, REAL *y, REAL *pre, int batch,
    int n_in, int n_out, int per_part) {
    using P = Product32x64<false, false>;
    SHARED_TILES(P);
    forward<P>(x, w, b, activation, y, pre, batch, n_in, n_out, per_part, shared_a, shared_b);
}

extern "C" __global__ void __launch_bounds__(THREADS, 2) dense_backward_input_32x64(
    const REAL *dz, const REAL *w, int activation, const REAL *saved, REAL *dx, int batch,
    int n_in, int n_out, int per_part) {
    using P = Product32x64<false, true>;
    SHARED_TILES(P);
    backward_input<P>(dz, w, activation, saved, dx, batch, n_in, n_out, per_part, shared_a,
                      shared_b);
}

extern "C" __global__ void __launch_bounds__(THREADS, 2) dense_backward_weights_32x64(
    const REAL *x, const REAL *dz, REAL *dw, REAL *db, int batch, int n_in, int n_out,
    int per_part) {
    using P = Product32x64<true, false>;
    SHARED_TILES(P);
    backward_weights<P>(x, dz, dw, db, batch, n_in, n_out, per_part, shared_a, shared_b);
}

// 64 x 64 tiles.

extern "C" __global__ void __launch_bounds__(THREADS, 2) dense_forward_64x64(
    const REAL *x, const REAL *w, const REAL *b, int activation, REAL *y, REAL *pre, int batch,
    int n_in, int n_out, int per_part) {
    using P = Product64x64<false, false>;
    SHARED_TILES(P);
    forward<P>(x, w, b, activation, y, pre, batch, n_in, n_out, per_part, shared_a, shared_b);
}

extern "C" __global__ void __launch_bounds__(THREADS, 2) dense_backward_input_64x64(
    const REAL *dz, const REAL *w, int activation, const REAL *saved, REAL *dx, int batch,
    int n_in, int n_out, int per_part) {
    using P = Product64x64<false, true>;
    SHARED_TILES(P);
    backward_input<P>(dz, w, activation, saved, dx, batch, n_in, n_out, per_part, shared_a,
                      shared_b);
}

extern "C" __global__ void __launch_bounds__(THREADS, 2) dense_backward_weights_64x64(
    const REAL *x, const REAL *dz, REAL *dw, REAL *db, int batch, int n_in, int n_out,
    int per_part) {
    using P = Product64x64<true, false>;
    SHARED_TILES(P);
    backward_weights<P>(x, dz, dw, db, batch, n_in, n_out, per_part, shared_a, shared_b);
}

// 128 x 128 tiles: the most arithmetic per byte, for large matrices.

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_128) dense_forward_128x128(
    const REAL *x, const REAL *w, const REAL *b, int activation, REAL *y, REAL *pre, int batch,
    int n_in, int n_out, int per_part) {
    using P = Product128x128<false, false>;
    SHARED_TILES(P);
    forward<P>(x, w, b, activation, y, pre, batch, n_in, n_out, per_part, shared_a, shared_b);
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_128) dense_backward_input_128x128(
    const REAL *dz, const REAL *w, int activation, const REAL *saved, REAL *dx, int batch,
    int n_in, int n_out, int per_part) {
    using P = Product128x128<false, true>;
    SHARED_TILES(P);
    backward_input<P>(dz, w, activation, saved, dx, batch, n_in, n_out, per_part, shared_a,
                      shared_b);
}

extern "C" __global__ void __launch_bounds__(THREADS, 1) dense_backward_weights_128x128(
    const REAL *x, const REAL *dz, REAL *dw, REAL *db, int batch, int n_in, int n_out,
    int per_part) {
    using P = Product128x128<true, false>;
    SHARED_TILES(P);
    backward_weights<P>(x, dz, dw, db, batch, n_in, n_out, per_part, shared_a, shared_b);
}

// Calls f(i, sum) for each of the n elements of a part, always added in the same order: two runs
// give the same bits.
template <class F> __device__ void each_sum(const REAL *parts, int splits, long long n, F f) {
    long long stride = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) {
        REAL total = 0;
        for (int part = 0; part < splits; part++) total += parts[part * n + i];
        f(i, total);
    }
}

extern "C" __global__ void sum_forward(const REAL *parts, int splits, long long n, const REAL *b,
                                       int activation, REAL *y, REAL *pre, int n_out) {
    each_sum(parts, splits, n, [&](long long i, REAL total) {
        REAL z = total + b[i % n_out];
        if (pre) pre[i] = z;
        y[i] = activate(activation, z);
    });
}

extern "C" __global__ void sum_input(const REAL *parts, int splits, long long n, int activation,
                                     const REAL *saved, REAL *dx) {
    each_sum(parts, splits, n, [&](long long i, REAL total) {
        dx[i] = total * activation_slope(activation, saved[i]);
    });
}

extern "C" __global__ void sum_weights(const REAL *parts, int splits, long long n, REAL *dw,
                                       REAL *db, int n_out) {
    long long n_weights = n - n_out;
    each_sum(parts, splits, n, [&](long long i, REAL total) {
        (i < n_weights ? dw[i] : db[i - n_weights]) = total;
    });
}
