"""The hot operations of an autoencoder: one operation per row, one backend per column.

Read ``backend.py`` first: it is the contract that every column fulfils. ``columns.py`` has the
columns and chooses among them. Each column is a folder, and an operation has the same file name in
all of them. Begin with ``reference``, in NumPy, which is the reference for all others, in the order
in which a training step runs through it:

    gather        minibatch rows out of the data
    dense         y = act(x @ w + b), and its two backward products
    activation    the nonlinearities and their derivatives
    loss          the loss and its gradient in one pass
    update        sgd, momentum, nesterov, adam, adamw
    random        Philox counters: weights, shuffles, noise, dropout

``cpu``, in Numba, has the same files, and beneath and above them

    compiling     flags, the cache, the width of vectors
    math          exp, expm1, log1p, tanh, sigmoid that vectorise
    tile          the innermost step of a product, in vector registers
    matmul        the loops around it; ladder: the way there, one idea each
    threads       how many threads, and how they wait
    step          a whole training step in one compiled function

``cuda`` has CUDA C: one set of sources and launchers for two runners

    dense.cu activation.cu loss.cu update.cu random.cu gather.cu     the kernels
    dense_3xtf32.cu dense_tf32.cu    dense.cu on tensor cores, as accurate and not
    dense.py ...              their launchers: grids, tiles, arguments
    plan.py                   how a product is cut up; measured_plans.py: what tinyae tune found
    async_copy.cuh elementwise.cuh   how memory is kept busy
    source.py                 a .cu as text, ready for a compiler
    device.py                 backend cupy: NVRTC and a GPU, through CuPy
    cursor.cu                 where an epoch stands, for steps that are recorded and replayed
    matmul_ladder.cu          seven products from naive to double buffered, one idea each

``cuda_host`` is the other runner, backend cuda-host: a C++ compiler and the CPU, for tests and
learners. ``cuda_python`` has the kernels of ``cuda`` once more, in Python: lay its ``dense.py``
beside ``dense.cu``, its ``dense_product.py`` beside ``dense_product.cuh``. ``target.py`` imports
Numba's CUDA target.

This package imports nothing from the rest of tinyae.
"""

if __name__ != "tinyae.kernels":
    raise ImportError(
        f"the kernels are the package tinyae.kernels, not {__name__!r}: a second copy of them "
        "would not be the one that tinyae uses. Install the project (pip install -e .) and write "
        "'from tinyae import kernels'"
    )
