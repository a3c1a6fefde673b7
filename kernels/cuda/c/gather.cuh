// Minibatch rows by index: out[i][j] = data[indices[i]][j] * scale (see reference/gather.py).
//
// A thread has one place in several rows (see elementwise.cuh), four elements wide where it can:
// of bytes one would put too few on their way. A row that does not exist becomes NaN: nothing
// outside the data is read.

#include "elementwise.cuh"
#include "vector.cuh"

template <class T, int W> struct Piece {
    bool inside;  // its row exists
    Vector<T, W> data;
};

// The columns and rows that are a thread's: the first ones, and how far it is to the next.
struct Lattice {
    int column, columns, row, rows;
};

// A row is ``width`` vectors.
template <int W, class T>
__device__ void gather_rows(const T *data, long long n, const long long *indices, REAL scale,
                            REAL *out, int batch, int width, Lattice at) {
    const auto *from = (const Vector<T, W> *)data;
    auto *to = (Vector<REAL, W> *)out;
    for (long long j = at.column; j < width; j += at.columns) {
        auto read = [&](long long i) {
            long long index = indices[i];
            Piece<T, W> piece = {0 <= index && index < n, {}};
            if (n > 0) piece.data = from[(piece.inside ? index : 0) * width + j];
            return piece;
        };
        auto write = [&](long long i, const Piece<T, W> &piece) {
            Vector<REAL, W> numbers;
#pragma unroll
            for (int w = 0; w < W; w++)
                numbers.at[w] = piece.inside ? (REAL)piece.data.at[w] * scale : (REAL)nan("");
            to[i * width + j] = numbers;
        };
        visit(at.row, at.rows, batch, read, write);
    }
}

// Vectors of four where each row of data and out begins at a multiple of their alignment.
template <class T>
__device__ void gather_any(const T *data, long long n, const long long *indices, REAL scale,
                           REAL *out, int batch, int features, Lattice at) {
    bool aligned = (size_t)data % alignof(Vector<T, 4>) == 0 &&
                   (size_t)out % alignof(Vector<REAL, 4>) == 0;
    if (features % 4 == 0 && aligned)
        gather_rows<4>(data, n, indices, scale, out, batch, features / 4, at);
    else
        gather_rows<1>(data, n, indices, scale, out, batch, features, at);
}

// ``kind`` is the data's type, a DATA_... number; uint8 pictures cross the bus as they are.
__device__ inline void gather_batch(const void *data, int kind, long long n,
                                    const long long *indices, REAL scale, REAL *out, int batch,
                                    int features, Lattice at) {
#define ROWS_OF(type) \
    return gather_any((const type *)data, n, indices, scale, out, batch, features, at)
    switch (kind) {
    case DATA_BOOL:
    case DATA_UINT8: ROWS_OF(unsigned char);
    case DATA_INT8: ROWS_OF(signed char);
    case DATA_UINT16: ROWS_OF(unsigned short);
    case DATA_INT16: ROWS_OF(short);
    case DATA_UINT32: ROWS_OF(unsigned);
    case DATA_INT32: ROWS_OF(int);
    case DATA_UINT64: ROWS_OF(unsigned long long);
    case DATA_INT64: ROWS_OF(long long);
    case DATA_FLOAT32: ROWS_OF(float);
    case DATA_FLOAT64: ROWS_OF(double);
    }
#undef ROWS_OF
}
