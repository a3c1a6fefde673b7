// Minibatch rows by index: out[i][j] = data[indices[i]][j] * scale (see gather_numpy.py).
//
// A block copies whole rows, so that a row's index is read once and its elements lie side by side.
// A row that does not exist becomes NaN: nothing outside the data is read, and the loss shows it.

template <class T>
__device__ void gather_rows(const T *data, long long n, const long long *indices, REAL scale,
                            REAL *out, int batch, int features) {
    for (int i = (int)blockIdx.x; i < batch; i += (int)gridDim.x) {
        long long index = indices[i];
        bool inside = 0 <= index && index < n;
        const T *row = data + (inside ? index : 0) * features;
        REAL *to = out + (long long)i * features;
        for (int j = (int)threadIdx.x; j < features; j += (int)blockDim.x)
            to[j] = inside ? (REAL)row[j] * scale : (REAL)nan("");
    }
}

// ``kind`` is the data's type, a DATA_... number; uint8 pictures cross the bus as they are.
extern "C" __global__ void gather(const void *data, int kind, long long n,
                                  const long long *indices, REAL scale, REAL *out, int batch,
                                  int features) {
#define ROWS_OF(type) \
    return gather_rows((const type *)data, n, indices, scale, out, batch, features)
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
