// N neighbours that are read or written at once: one instruction for each 16 bytes of them.
template <class T, int N> struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) Vector {
    T at[N];
};
