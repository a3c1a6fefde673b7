// Sums over the blocks of a launch, without a second launch: each block writes its part and draws a
// ticket, and the one that draws the last adds up all parts, in their order. So two runs give the
// same bits, whichever block is the last (the pattern of CUDA's sample threadFenceReduction).

// Whether the other ``blocks`` that share this ticket have been here, and what they wrote before is
// there to read. All threads of a block ask, once in a kernel. A ticket is 0 before a launch and
// after it.
static __device__ bool is_last_block(unsigned *ticket, unsigned blocks) {
    __shared__ unsigned drawn;
    __syncthreads();  // the block has written its part
    if (threadIdx.x == 0) {
        __threadfence();
        drawn = atomicInc(ticket, blocks - 1);  // after the last it is 0 again
        __threadfence();
    }
    __syncthreads();
    return drawn == blocks - 1;
}
