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

The CUDA C column is under way: ``dense.cu`` and ``activation.cu`` with their launchers, which the
tests execute on the CPU (``cuda_host.h``). It is no backend yet.

This package imports nothing from the rest of tinyae.
"""

if __name__ != "tinyae.kernels":
    raise ImportError(
        f"the kernels are the package tinyae.kernels, not {__name__!r}: a second copy of them "
        "would not be the one that tinyae uses. Install the project (pip install -e .) and write "
        "'from tinyae import kernels'"
    )
