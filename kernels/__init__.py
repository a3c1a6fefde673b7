"""The hot operations of an autoencoder: one operation per row, one backend per column.

Read ``backend.py`` first: it is the contract that every column fulfils. Then
the NumPy column, which is the reference for all others, in the order in which a
training step runs through it:

    gather_numpy      minibatch rows out of the data
    dense_numpy       y = act(x @ w + b), and its two backward products
    activation_numpy  the nonlinearities and their derivatives
    loss_numpy        the loss and its gradient in one pass
    update_numpy      sgd, momentum, nesterov, adam, adamw
    random_numpy      Philox counters: weights, shuffles, noise, dropout

``columns.py`` has the columns and chooses among them. The Numba column, for the CPU, has the same
modules (``dense_numba``, ...), and beneath and above them

    numba_compile     compiling: flags, the cache, the width of vectors
    math_numba        exp, expm1, log1p, tanh, sigmoid that vectorise
    tile_numba        the innermost step of a product, in vector registers
    matmul_numba      the loops around it; matmul_ladder_numba: the way there, one idea each
    threads_numba     how many threads, and how they wait
    step_numba        a whole training step in one compiled function

The CUDA C column is one set of sources and launchers with two runners:

    dense.cu activation.cu loss.cu update.cu random.cu gather.cu     the kernels
    dense_3xtf32.cu dense_tf32.cu    dense.cu on tensor cores, as accurate and not
    dense_cupy.py ...         their launchers: grids, tiles, arguments
    dense_plan.py             how a product is cut up; measured_plans.py: what tinyae tune found
    async_copy.cuh elementwise.cuh   how memory is kept busy
    cuda_source.py            a .cu as text, ready for a compiler
    cuda_device.py            backend cupy: NVRTC and a GPU, through CuPy
    cuda_host.py, .h          backend cuda-host: a C++ compiler and the CPU, for tests and learners
    cursor.cu                 where an epoch stands, for steps that are recorded and replayed
    matmul_ladder.cu          seven products from naive to double buffered, one idea each

The Numba CUDA column has these kernels once more, in Python: lay ``dense_numba_cuda`` beside
``dense.cu``, ``dense_product_numba_cuda`` beside ``dense_product.cuh``. ``numba_cuda`` is where it
imports Numba's CUDA target.

This package imports nothing from the rest of tinyae.
"""

if __name__ != "tinyae.kernels":
    raise ImportError(
        f"the kernels are the package tinyae.kernels, not {__name__!r}: a second copy of them "
        "would not be the one that tinyae uses. Install the project (pip install -e .) and write "
        "'from tinyae import kernels'"
    )
