// Philox4x32-10: four random words from a counter and a key (see reference/random.py).

struct Words {
    unsigned word[4];
};

__device__ inline Words philox(unsigned c0, unsigned c1, unsigned c2, unsigned c3, unsigned k0,
                               unsigned k1) {
#pragma unroll
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        unsigned high0 = __umulhi(PHILOX_MULTIPLIER0, c0), low0 = PHILOX_MULTIPLIER0 * c0;
        unsigned high1 = __umulhi(PHILOX_MULTIPLIER1, c2), low1 = PHILOX_MULTIPLIER1 * c2;
        c0 = high1 ^ c1 ^ k0;
        c2 = high0 ^ c3 ^ k1;
        c1 = low1;
        c3 = low0;
        k0 += PHILOX_WEYL0;
        k1 += PHILOX_WEYL1;
    }
    return {{c0, c1, c2, c3}};
}

// Words 4 block .. 4 block + 3 of a stream; state = [key 0, key 1, stream, step].
__device__ inline Words stream_words(const unsigned *state, unsigned long long block,
                                     unsigned counter1 = 0) {
    return philox((unsigned)block, (unsigned)(block >> 32) + counter1, state[2], state[3],
                  state[0], state[1]);
}
