// A whole training step in one launch. Its blocks are all on the GPU at once (a cooperative launch)
// and wait for each other where otherwise a launch would end and the next one begin.
//
// It is made of the same pieces as the launches of a recorded step, and adds up in the same order:
// both give the same bits. A launch's blocks become turns, which the blocks here share: those of a
// product are tiles of 32x32, and parts of their sums.

#include "dense_sums.cuh"
#include "gather.cuh"
#include "grid_barrier.cuh"
#include "loss.cuh"
#include "update.cuh"

#define TILE 32
// A multiprocessor's, at least. From sm_100 on two of them have too few registers.
#define BLOCKS_STEP (__CUDA_ARCH__ >= 1000 ? 1 : 2)
#define GATHERED 8  // blocks side by side along a row of samples

// Where a layer's arrays begin: w and b in the parameters; in ``room`` its output y, what the
// activation is taken of where its slope is too (else pre is -1), and dz. ..._part: the terms of a
// part of a product's sums.
struct Layer {
    long long n_in, n_out, activation, w, b, y, pre, dz, forward_part, input_part, weights_part;

    __device__ const REAL *saved(const REAL *room) const { return room + (pre < 0 ? y : pre); }
};

// The turns of a product c (m, n) with sums of k terms: one for each tile and each part.
struct Turns {
    int columns, rows, parts;

    __device__ Turns(int m, int n, int k, int per_part)
        : columns((n + TILE - 1) / TILE), rows((m + TILE - 1) / TILE),
          parts((k + per_part - 1) / per_part) {}
    __device__ int tiles() const { return columns * rows; }
    __device__ int count() const { return columns * rows * parts; }
    __device__ Place place(int turn) const {
        return {turn % columns, turn / columns % rows, turn / tiles(), columns, parts};
    }
};

using Forward = Product<Sums<TILE, TILE, false, false>>;
using Input = Product<Sums<TILE, TILE, false, true>>;
using Weights = Product<Sums<TILE, TILE, true, false>>;

// Sums over the parts of a product's columns, in their order.
__device__ inline void sum_columns(Weights &product, const REAL *parts) {
    int column = product.column0 + (int)threadIdx.x;
    product.column_sum = 0;
    if (threadIdx.x < TILE && column < product.n)
        for (int k = 0; k < product.place.parts; k++)
            product.column_sum += parts[(long long)k * product.n + column];
}

// data .. scale: as of gather; x (batch, features) receives the minibatch. cursor, batch_size,
// numbers, history: as of a recorded step. values, m, v, gradients: of all parameters, of which the
// first n_decayed are weights. room: of all layers; parts, dw_parts, db_parts, loss_parts: of split
// sums. tickets: one for the barrier, one for the loss, and those of two products' tiles.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_STEP)
    step(const void *data, int kind, long long samples, const long long *order, REAL scale, REAL *x,
         int batch, long long *cursor, long long batch_size, const double *numbers,
         double *history, int n_layers, int optimizer, REAL *values, REAL *m, REAL *v,
         long long n_decayed, long long n_values, int loss, REAL loss_scale, double *totals,
         const Layer *layers, REAL *room, REAL *gradients, REAL *parts, REAL *dw_parts,
         REAL *db_parts, double *loss_parts, int loss_blocks, unsigned *tickets) {
    constexpr int SHARED = Forward::SHARED > Input::SHARED ? Forward::SHARED : Input::SHARED;
    static_assert(SHARED >= Weights::SHARED, "all products use the same shared memory");
    alignas(16) __shared__ REAL shared[SHARED];
    const int block = (int)blockIdx.x, blocks = (int)gridDim.x, features = (int)layers[0].n_in;
    const long long now = cursor[0];  // block 0 moves it on when all have read it
    const double *hyper = numbers + now * (HYPER_COUNT + 2);
    unsigned *tile_tickets = tickets + 2;
    GridBarrier all(tickets, 2 * n_layers + 2);

    const int across = min(GATHERED, blocks), down = blocks / across;
    if (block < across * down)
        gather_batch(data, kind, samples, order + now * batch_size, scale, x, batch, features,
                     {block % across * 32 + (int)threadIdx.x % 32, across * 32,
                      block / across * (THREADS / 32) + (int)threadIdx.x / 32,
                      down * (THREADS / 32)});

    const REAL *below = x;
    for (int l = 0; l < n_layers; l++) {
        all.wait();
        const Layer layer = layers[l];
        const int n_in = (int)layer.n_in, n_out = (int)layer.n_out, part = (int)layer.forward_part;
        const Turns turns(batch, n_out, n_in, part);
        REAL *y = room + layer.y, *pre = layer.pre < 0 ? nullptr : room + layer.pre;
        for (int turn = block; turn < turns.count(); turn += blocks) {
            Forward product(turns.place(turn), below, values + layer.w, batch, n_out, n_in, part);
            product.run(shared, false);
            if (product.ends(parts, tile_tickets, shared))
                product.finish_forward(values + layer.b, (int)layer.activation, y, pre, shared);
            __syncthreads();  // shared memory is free for the next turn
        }
        below = y;
    }

    all.wait();
    const Layer top = layers[n_layers - 1];
    const long long n = (long long)batch * features;
    REAL *top_dz = room + top.dz;
    const REAL *saved = top.saved(room);
    for (int turn = block; turn < loss_blocks; turn += blocks) {
        loss_pass(loss, below, x, loss_scale, top_dz, loss_parts, tickets + 1, totals, n, turn,
                  loss_blocks);
        if (top.activation == ACTIVATION_IDENTITY) continue;
        auto read = [&](long long i) {
            return top_dz[i] * activation_slope((int)top.activation, saved[i]);
        };
        visit((long long)turn * THREADS + threadIdx.x, (long long)loss_blocks * THREADS, n, read,
              [&](long long i, REAL dz) { top_dz[i] = dz; });
    }

    for (int l = n_layers - 1; l >= 0; l--) {
        all.wait();
        const Layer layer = layers[l], lower = layers[l > 0 ? l - 1 : 0];
        const int n_in = (int)layer.n_in, n_out = (int)layer.n_out;
        const int part = (int)layer.input_part, dw_part = (int)layer.weights_part;
        const Turns input(batch, n_in, n_out, part), weights(n_in, n_out, batch, dw_part);
        const REAL *dz = room + layer.dz, *from = l > 0 ? room + lower.y : x;
        const int first = l > 0 ? input.count() : 0;  // nobody wants the samples' own gradient
        for (int turn = block; turn < first + weights.count(); turn += blocks) {
            if (turn < first) {
                Input product(input.place(turn), dz, values + layer.w, batch, n_in, n_out, part);
                product.run(shared, false);
                if (product.ends(parts, tile_tickets, shared))
                    product.finish_input((int)lower.activation, lower.saved(room),
                                         room + lower.dz, shared);
            } else {
                const Place place = weights.place(turn - first);
                const bool split = place.parts > 1;
                Weights product(place, from, dz, n_in, n_out, batch, dw_part);
                product.run(shared, place.row == 0);
                if (split)
                    product.finish_columns(db_parts + (long long)place.part * n_out, false);
                if (product.ends(dw_parts, tile_tickets + input.tiles(), shared)) {
                    product.finish_part(gradients + layer.w, false, shared);
                    if (split) sum_columns(product, db_parts);
                    product.finish_columns(gradients + layer.b, false);
                }
            }
            __syncthreads();
        }
    }

    all.wait();
#define UPDATE(rule) \
    update_all<rule>(values, gradients, m, v, hyper, n_decayed, totals, cursor, history, n_values)
    switch (optimizer) {
    case OPTIMIZER_SGD: UPDATE(Sgd); break;
    case OPTIMIZER_MOMENTUM: UPDATE(Momentum); break;
    case OPTIMIZER_NESTEROV: UPDATE(Nesterov); break;
    case OPTIMIZER_ADAM: UPDATE(Adam); break;
    case OPTIMIZER_ADAMW: UPDATE(AdamW); break;
    }
#undef UPDATE
    all.leave();
}
