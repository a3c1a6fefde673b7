// One matrix product, seven times: from the shortest kernel to the shape of a fast one.
//
//   c = a @ b    a (m, k), b (k, n), c (m, n), all row-major
//
// Every rung changes one thing, and its comment counts what that saves. What limits a product is
// the reads, so here they are, per multiply-add:
//
//                          elements of        instructions that read shared memory,
//   rung                   global memory      in the source      compiled, float
//   1 naive                2, scattered
//   2 coalesced            2
//   3 shared               2 / 32             2                  5 / 4
//   4 registers, 1-D       2 / 64             9 / 8              3 / 8
//   5 registers, 2-D       2 / 128            1 / 4              5 / 32
//   6 vectors              2 / 128            1 / 16             1 / 16
//   7 double buffer        2 / 128            1 / 16             1 / 16, and nobody waits for them
//
// ("Compiled" is counted in the machine code of nvcc 13.0 for sm_75 and sm_90, which agree: where
// an unrolled loop reads four neighbours, as from a's tile in rungs 3 to 5, one instruction reads
// them all. The comments below count in the source where they do not say otherwise.)
//
// The machine, as far as it matters here: a warp is 32 neighbouring threads that execute each
// instruction together. Global memory answers after hundreds of cycles and moves sectors of 32
// bytes. Shared memory belongs to a block, answers after tens of cycles and serves one read of a
// warp per cycle, 4 bytes from each of its 32 banks. In that cycle a multiprocessor can do 64 or
// 128 float multiply-adds: two or four warps' worth. Registers are free to read, but there
// are only 65536 of them for all threads of a multiprocessor. Numbers are those of float; in double
// most GPUs are so slow at the multiply-adds themselves that the upper rungs cannot gain much.
//
// In all kernels blockIdx.x counts tiles of rows and blockIdx.y tiles of columns; the launcher
// (ladder.py) knows their sizes. Outside the matrices are zeros, so every shape is
// right. fma(x, y, z) is x * y + z in one instruction. Offsets are long long: a matrix may have
// more than 2^31 elements.
//
// dense.cu continues from here: tiles chosen by shape, transposed operands, epilogues.

// ---- 1: one thread per element of c
//
// Each thread walks along a row of a and down a column of b. Neighbouring threads take neighbouring
// ROWS, which looks harmless and is the mistake of this rung: in each step the 32 threads of a
// warp read 32 elements of a that lie k apart, in 32 sectors, and one element of b: 33 sectors of
// 32 bytes for 32 multiply-adds that need 33 elements. The caches help, since a sector holds the
// next steps' elements too, but they are asked 32 times in each step. c is written just as badly.

extern "C" __global__ void __launch_bounds__(1024) matmul_1_naive(
    const REAL *a, const REAL *b, REAL *c, int m, int n, int k) {
    int row = blockIdx.x * 32 + threadIdx.x;
    int column = blockIdx.y * 32 + threadIdx.y;
    if (row >= m || column >= n) return;
    REAL sum = 0;
    for (int p = 0; p < k; p++)
        sum = fma(a[(long long)row * k + p], b[(long long)p * n + column], sum);
    c[(long long)row * n + column] = sum;
}

// ---- 2: neighbouring threads take neighbouring columns
//
// Only threadIdx.x and threadIdx.y change places. Now a warp reads one element of a, the same for
// all, and 32 neighbours of b: 1 + 4 sectors (1 + 8 in double) instead of 33, and it writes c in
// 4 (8). The hardware makes one access of the 32: it is "coalesced".
//
// Should gain: up to 33 / 5, six times and more, less what the caches did for rung 1.

extern "C" __global__ void __launch_bounds__(1024) matmul_2_coalesced(
    const REAL *a, const REAL *b, REAL *c, int m, int n, int k) {
    int row = blockIdx.x * 32 + threadIdx.y;
    int column = blockIdx.y * 32 + threadIdx.x;
    if (row >= m || column >= n) return;
    REAL sum = 0;
    for (int p = 0; p < k; p++)
        sum = fma(a[(long long)row * k + p], b[(long long)p * n + column], sum);
    c[(long long)row * n + column] = sum;
}

// ---- 3: tiles in shared memory
//
// The 32 x 32 threads of a block need only 32 rows of a and 32 columns of b, but rung 2 reads each
// of them 32 times. Here the block copies a 32 x 32 tile of both, one element of each per thread,
// and then reads the copies. Global reads fall from 2 to 2 / 32 per multiply-add, from 8 bytes to
// a quarter of a byte.
//
// Two barriers per step: the first so that nobody reads a tile before it is complete, the second
// so that nobody overwrites it while others still read. All threads must reach them: a thread
// outside c cannot return early any more.
//
// Should gain: whatever waiting for global memory cost, which is most of rung 2 once the matrices
// outgrow the caches. The new limit is plain: 2 shared reads per multiply-add at 1 read per cycle
// make half a warp's multiply-adds per cycle, where two or four warps' were possible.

// matrix[row][column], or zero outside the matrix: the last tiles stick out.
__device__ REAL element(const REAL *matrix, int rows, int columns, int row, int column) {
    if (row >= rows || column >= columns) return 0;
    return matrix[(long long)row * columns + column];
}

extern "C" __global__ void __launch_bounds__(1024) matmul_3_shared(
    const REAL *a, const REAL *b, REAL *c, int m, int n, int k) {
    __shared__ REAL tile_a[32][32], tile_b[32][32];
    int y = threadIdx.y, x = threadIdx.x;
    int row = blockIdx.x * 32 + y;
    int column = blockIdx.y * 32 + x;
    REAL sum = 0;
    for (int k0 = 0; k0 < k; k0 += 32) {
        tile_a[y][x] = element(a, m, k, row, k0 + x);
        tile_b[y][x] = element(b, k, n, k0 + y, column);
        __syncthreads();
#pragma unroll
        for (int p = 0; p < 32; p++) sum = fma(tile_a[y][p], tile_b[p][x], sum);
        __syncthreads();
    }
    if (row < m && column < n) c[(long long)row * n + column] = sum;
}

// ---- 4: a column of results per thread
//
// A thread that computes 8 results in one column needs the same element of b for all of them: it
// reads it once, into a register. 8 multiply-adds take 8 reads of a and 1 of b, 9 / 8 each instead
// of 2. The tile grows with the work, to 64 x 64 for 512 threads, so global reads halve as well, to
// 2 / 64. Its step along k shrinks to 8: then each thread copies one element of each tile.
//
// Should gain: up to 2 / (9 / 8) = 1.8 times (3.3 as compiled), since shared reads were the limit.

extern "C" __global__ void __launch_bounds__(512) matmul_4_registers_1d(
    const REAL *a, const REAL *b, REAL *c, int m, int n, int k) {
    __shared__ REAL tile_a[64][8], tile_b[8][64];
    int y = threadIdx.y, x = threadIdx.x;  // 8 x 64 threads
    int row0 = blockIdx.x * 64, column0 = blockIdx.y * 64;
    int thread = y * 64 + x;
    REAL sum[8] = {};  // rows 8 y .. 8 y + 7 of the tile, column x
    for (int k0 = 0; k0 < k; k0 += 8) {
        int i = thread / 8, p = thread % 8;
        tile_a[i][p] = element(a, m, k, row0 + i, k0 + p);
        tile_b[y][x] = element(b, k, n, k0 + y, column0 + x);
        __syncthreads();
#pragma unroll
        for (int p = 0; p < 8; p++) {
            REAL from_b = tile_b[p][x];
#pragma unroll
            for (int i = 0; i < 8; i++) sum[i] = fma(tile_a[8 * y + i][p], from_b, sum[i]);
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 8; i++) {
        int row = row0 + 8 * y + i, column = column0 + x;
        if (row < m && column < n) c[(long long)row * n + column] = sum[i];
    }
}

// ---- 5: a square of results per thread
//
// With 8 x 8 results per thread the elements of a are used again too: 8 reads of a and 8 of b feed
// 64 multiply-adds, 1 / 4 read each instead of 9 / 8. 16 x 16 threads make a tile of 128 x 128, and
// global reads halve again, to 2 / 128.
//
// A thread's rows and columns lie 16 apart. Were its columns neighbours, a warp would read b at a
// distance of 8: four banks of the 32, each asked for several words, one after the other. So it
// reads neighbours, each from a bank of its own, and writes neighbours to c.
//
// Should gain: up to (9 / 8) / (1 / 4) = 4.5 times (2.4 as compiled), until the multiply-adds
// themselves are the limit: 4 of 5 instructions are multiply-adds now. The price: 64 sums in
// registers leave room for few threads, and a matrix must be large to fill a GPU with tiles of
// 128 x 128.

extern "C" __global__ void __launch_bounds__(256) matmul_5_registers_2d(
    const REAL *a, const REAL *b, REAL *c, int m, int n, int k) {
    __shared__ REAL tile_a[128][8], tile_b[8][128];
    int y = threadIdx.y, x = threadIdx.x;  // 16 x 16 threads
    int row0 = blockIdx.x * 128, column0 = blockIdx.y * 128;
    int thread = y * 16 + x;
    REAL sum[8][8] = {};  // rows y + 16 i, columns x + 16 j of the tile
    for (int k0 = 0; k0 < k; k0 += 8) {
#pragma unroll
        for (int l = 0; l < 4; l++) {
            int e = thread + 256 * l;
            tile_a[e / 8][e % 8] = element(a, m, k, row0 + e / 8, k0 + e % 8);
            tile_b[e / 128][e % 128] = element(b, k, n, k0 + e / 128, column0 + e % 128);
        }
        __syncthreads();
#pragma unroll
        for (int p = 0; p < 8; p++) {
            REAL from_a[8], from_b[8];
#pragma unroll
            for (int i = 0; i < 8; i++) from_a[i] = tile_a[y + 16 * i][p];
#pragma unroll
            for (int j = 0; j < 8; j++) from_b[j] = tile_b[p][x + 16 * j];
#pragma unroll
            for (int i = 0; i < 8; i++)
#pragma unroll
                for (int j = 0; j < 8; j++) sum[i][j] = fma(from_a[i], from_b[j], sum[i][j]);
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 8; i++)
#pragma unroll
        for (int j = 0; j < 8; j++) {
            int row = row0 + y + 16 * i, column = column0 + x + 16 * j;
            if (row < m && column < n) c[(long long)row * n + column] = sum[i][j];
        }
}

// ---- 6: 16 bytes per read
//
// One instruction can move 16 bytes per thread: W = 4 floats or 2 doubles. The bytes stay the same,
// the instructions become fewer: 16 shared reads per 64 multiply-adds turn into 4 (8 in double),
// and global reads and writes into a quarter (half) as many. A compiler does that by itself only
// where it can see neighbours at an aligned address: so far in a's tile, not in b's, and never in
// global memory.
//
// What is read together must lie together. So a's tile is turned over on its way into shared
// memory, W rows at the same p side by side; one vector of padding per line lets the threads that
// write it down its columns meet different banks. A thread's results become patches of W x W.
//
// And a vector must lie at a multiple of 16 bytes, or the GPU faults. All do if the matrix does
// and its width is a multiple of W; if not, it is read element by element. All threads decide
// alike, so the branch splits no warp.
//
// Should gain: 64 of 68 instructions are multiply-adds now, not 64 of 80 (74 as compiled): up to
// 1.18 times (1.09), and shorter queues in front of the memories.

#define W ((int)(16 / sizeof(REAL)))

struct alignas(16) Vector {
    REAL at[W];
};

// May a matrix with rows of this width be read and written in vectors?
__device__ bool in_vectors(const REAL *matrix, int width) {
    return width % W == 0 && (size_t)matrix % sizeof(Vector) == 0;
}

// matrix[row][column .. column + W - 1], zeros outside the matrix.
__device__ Vector load_vector(const REAL *matrix, int rows, int columns, int row, int column,
                              bool vectors) {
    Vector v;
    if (vectors && row < rows && column < columns) {
        v = *(const Vector *)(matrix + (long long)row * columns + column);
    } else {
#pragma unroll
        for (int w = 0; w < W; w++) v.at[w] = element(matrix, rows, columns, row, column + w);
    }
    return v;
}

__device__ void store_vector(REAL *matrix, int rows, int columns, int row, int column, bool vectors,
                             const Vector &v) {
    if (row >= rows || column >= columns) return;
    REAL *to = matrix + (long long)row * columns + column;
    if (vectors) {
        *(Vector *)to = v;
    } else {
#pragma unroll
        for (int w = 0; w < W; w++)
            if (column + w < columns) to[w] = v.at[w];
    }
}

// One step of a thread: its 8 x 8 results are 8 / W x 8 / W patches, 16 vectors apart.
__device__ void multiply(const Vector (*tile_a)[128 / W + 1], const Vector (*tile_b)[128 / W],
                         Vector (*sum)[8 / W]) {
#pragma unroll
    for (int p = 0; p < 8; p++) {
        Vector from_a[8 / W], from_b[8 / W];
#pragma unroll
        for (int v = 0; v < 8 / W; v++) {
            from_a[v] = tile_a[p][threadIdx.y + 16 * v];
            from_b[v] = tile_b[p][threadIdx.x + 16 * v];
        }
#pragma unroll
        for (int i = 0; i < 8; i++)
#pragma unroll
            for (int j = 0; j < 8; j++) {
                REAL &s = sum[i][j / W].at[j % W];
                s = fma(from_a[i / W].at[i % W], from_b[j / W].at[j % W], s);
            }
    }
}

__device__ void write_tile(REAL *c, int m, int n, int row0, int column0,
                           const Vector (*sum)[8 / W]) {
    bool vectors = in_vectors(c, n);
#pragma unroll
    for (int i = 0; i < 8; i++)
#pragma unroll
        for (int j = 0; j < 8 / W; j++) {
            int row = row0 + W * (threadIdx.y + 16 * (i / W)) + i % W;
            int column = column0 + W * (threadIdx.x + 16 * j);
            store_vector(c, m, n, row, column, vectors, sum[i][j]);
        }
}

extern "C" __global__ void __launch_bounds__(256) matmul_6_vectors(
    const REAL *a, const REAL *b, REAL *c, int m, int n, int k) {
    __shared__ Vector tile_a[8][128 / W + 1], tile_b[8][128 / W];
    int row0 = blockIdx.x * 128, column0 = blockIdx.y * 128;
    int thread = threadIdx.y * 16 + threadIdx.x;
    bool vectors_a = in_vectors(a, k), vectors_b = in_vectors(b, n);
    Vector sum[8][8 / W] = {};
    for (int k0 = 0; k0 < k; k0 += 8) {
#pragma unroll
        for (int l = 0; l < 4 / W; l++) {
            int e = thread + 256 * l;
            int i = e / (8 / W), p = e % (8 / W) * W;
            Vector v = load_vector(a, m, k, row0 + i, k0 + p, vectors_a);
#pragma unroll
            for (int w = 0; w < W; w++) tile_a[p + w][i / W].at[i % W] = v.at[w];
            int q = e / (128 / W), j = e % (128 / W);
            tile_b[q][j] = load_vector(b, k, n, k0 + q, column0 + j * W, vectors_b);
        }
        __syncthreads();
        multiply(tile_a, tile_b, sum);
        __syncthreads();
    }
    write_tile(c, m, n, row0, column0, sum);
}

// ---- 7: two buffers
//
// Until now a block copies, waits, multiplies, waits. Here the next step's elements are on their
// way from global memory into registers while this step's are multiplied: 512 multiply-adds per
// thread to hide some hundreds of cycles behind. Then they go into the other buffer, which
// everybody left before the last barrier. So one barrier per step is enough.
//
// Should gain: the time in which a multiprocessor had nothing to multiply. That is most where few
// blocks share it, as here, where the registers let in one or two, and least where other blocks'
// warps filled the gap. The price: twice the shared memory and 8 more elements in registers.

extern "C" __global__ void __launch_bounds__(256) matmul_7_double_buffer(
    const REAL *a, const REAL *b, REAL *c, int m, int n, int k) {
    __shared__ Vector tile_a[2][8][128 / W + 1], tile_b[2][8][128 / W];
    int row0 = blockIdx.x * 128, column0 = blockIdx.y * 128;
    int thread = threadIdx.y * 16 + threadIdx.x;
    bool vectors_a = in_vectors(a, k), vectors_b = in_vectors(b, n);
    Vector sum[8][8 / W] = {};
    Vector next_a[4 / W], next_b[4 / W];

    auto fetch = [&](int k0) {
#pragma unroll
        for (int l = 0; l < 4 / W; l++) {
            int e = thread + 256 * l;
            int i = e / (8 / W), p = e % (8 / W) * W;
            next_a[l] = load_vector(a, m, k, row0 + i, k0 + p, vectors_a);
            int q = e / (128 / W), j = e % (128 / W);
            next_b[l] = load_vector(b, k, n, k0 + q, column0 + j * W, vectors_b);
        }
    };
    auto put = [&](int buffer) {
#pragma unroll
        for (int l = 0; l < 4 / W; l++) {
            int e = thread + 256 * l;
            int i = e / (8 / W), p = e % (8 / W) * W;
            int q = e / (128 / W), j = e % (128 / W);
#pragma unroll
            for (int w = 0; w < W; w++) tile_a[buffer][p + w][i / W].at[i % W] = next_a[l].at[w];
            tile_b[buffer][q][j] = next_b[l];
        }
    };

    int buffer = 0;
    fetch(0);
    put(buffer);
    __syncthreads();
    for (int k0 = 0; k0 < k; k0 += 8) {
        bool more = k0 + 8 < k;
        if (more) fetch(k0 + 8);
        multiply(tile_a[buffer], tile_b[buffer], sum);
        buffer ^= 1;
        if (more) put(buffer);
        __syncthreads();
    }
    write_tile(c, m, n, row0, column0, sum);
}
