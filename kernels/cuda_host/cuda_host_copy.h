// The functions of async_copy.cuh on the CPU, for the fibers of cuda_host.h.
//
// A copy may happen at any time between its beginning and its wait. Here it happens at the wait,
// and its beginning fills the place with NaN: a wait that is missing shows, and so does a copy that
// begins while others still read what it overwrites. To ThreadSanitizer both are writes.
#pragma once

namespace cuda_host {

CUDA_HOST_UNSEEN inline void note_copy(void *to, const void *from, unsigned bytes) {
    Thread &t = *current;
    if ((size_t)to % bytes || (size_t)from % bytes)
        failure = "a copy of several elements is not aligned to their size";
    else if (t.n_copies == MAX_COPIES)
        failure = "too many copies of a thread are under way";
    else
        t.copies[t.n_copies++] = {to, from, bytes, t.copy_group};
}

// Takes out the oldest copy if at least ``closed`` groups were closed after it was begun.
CUDA_HOST_UNSEEN inline bool take_copy(unsigned closed, Copy &copy) {
    Thread &t = *current;
    if (t.n_copies == 0 || t.copies[0].group + closed >= t.copy_group) return false;
    copy = t.copies[0];
    t.n_copies--;
    for (unsigned i = 0; i < t.n_copies; i++) t.copies[i] = t.copies[i + 1];
    return true;
}

}  // namespace cuda_host

using Destination = char *;

template <class T> Destination destination(T *to) { return (Destination)to; }

template <int N, class T> void begin_copy(Destination to, const T *&from, bool wanted) {
    for (int i = 0; i < N; i++) ((T *)to)[i] = (T)std::nan("");
    cuda_host::note_copy(to, wanted ? from : nullptr, N * sizeof(T));
}

CUDA_HOST_UNSEEN inline void close_copies() { cuda_host::current->copy_group++; }

template <int N> void wait_for_copies() {
    cuda_host::Copy copy;
    while (cuda_host::take_copy(N, copy))
        if (copy.from)
            __builtin_memcpy(copy.to, copy.from, copy.bytes);
        else
            __builtin_memset(copy.to, 0, copy.bytes);
}
