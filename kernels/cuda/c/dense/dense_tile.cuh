// The products of the dense layer at one size of tile.
//
//   dense_forward           y  = act(x @ w + b)
//   dense_backward_input    dx = (dz @ w.T) * act'(saved)
//   dense_backward_weights  dw = x.T @ dz, db = column sums of dz; or added to what they hold
//
// source.py puts this text in once for each of plan.py's TILES, with its numbers for ROWS and COLUMNS.
//
// __launch_bounds__ also says how many blocks a multiprocessor shall have at once, at least: left
// to itself, the compiler makes room for more and spills registers for it.

// parts: where sums are split, room for all of them, one (batch, n_out) after the other; tickets: see
// Product::ends
extern "C" __global__ void __launch_bounds__(THREADS, Sums<ROWS, COLUMNS, false, false>::BLOCKS)
    dense_forward_ROWSxCOLUMNS(const REAL *x, const REAL *w, const REAL *b, int activation, REAL *y,
                               REAL *pre, REAL *parts, unsigned *tickets, int batch, int n_in,
                               int n_out, int per_part) {
    using P = Product<Sums<ROWS, COLUMNS, false, false>>;
    alignas(16) __shared__ REAL shared[P::SHARED];
    P product(own_place(), x, w, batch, n_out, n_in, per_part);
    product.run(shared, false);
    if (product.ends(parts, tickets, shared)) product.finish_forward(b, activation, y, pre, shared);
}

// parts, tickets: likewise
extern "C" __global__ void __launch_bounds__(THREADS, Sums<ROWS, COLUMNS, false, true>::BLOCKS)
    dense_backward_input_ROWSxCOLUMNS(const REAL *dz, const REAL *w, int activation,
                                      const REAL *saved, REAL *dx, REAL *parts,
                                      unsigned *tickets, int batch, int n_in, int n_out,
                                      int per_part) {
    using P = Product<Sums<ROWS, COLUMNS, false, true>>;
    alignas(16) __shared__ REAL shared[P::SHARED];
    P product(own_place(), dz, w, batch, n_in, n_out, per_part);
    product.run(shared, false);
    if (product.ends(parts, tickets, shared)) product.finish_input(activation, saved, dx, shared);
}

// dw, db: where sums are split, a part is (n_in + 1, n_out), its last row is that of db, and add is 0
extern "C" __global__ void __launch_bounds__(THREADS, Sums<ROWS, COLUMNS, true, false>::BLOCKS)
    dense_backward_weights_ROWSxCOLUMNS(const REAL *x, const REAL *dz, REAL *dw, REAL *db, int add,
                                        int batch, int n_in, int n_out, int per_part) {
    using P = Product<Sums<ROWS, COLUMNS, true, false>>;
    alignas(16) __shared__ REAL shared[P::SHARED];
    P product(own_place(), x, dz, n_in, n_out, batch, per_part);
    long long part = (long long)product.place.part * (n_in + 1) * n_out;
    product.run(shared, product.place.row == 0);
    product.finish_part(dw + part, add, shared);
    product.finish_columns(db + part, add);
}
