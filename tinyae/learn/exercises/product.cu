// c (m, n) = a (m, k) @ b (k, n), all row-major
extern "C" __global__ void product(
    const REAL *a, const REAL *b, REAL *c, int m, int n, int k) {
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    int row = blockIdx.y * blockDim.y + threadIdx.y;
    if (row >= m || column >= n) return;
    REAL sum = 0;
    for (int p = 0; p < k; p++) sum += a[row * k + p] * b[p * n + column];
    c[row * n + column] = sum;
}
