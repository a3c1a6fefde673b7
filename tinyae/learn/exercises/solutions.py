"""The package's own solutions, as they are shown: NumPy as it is written by hand.

What a station's file begins with, the first line of a function and its docstring, is taken from
here too.
"""

import numpy as np


def forward(x, w, b):
    """x (n, n_in), w (n_in, n_out), b (n_out,) -> z (n, n_out)"""
    return x @ w + b


def backward(x, w, dz):
    """x (n, n_in), w (n_in, n_out), dz (n, n_out) -> dx (n, n_in), dw (n_in, n_out), db (n_out,)"""
    dx = dz @ w.T
    dw = x.T @ dz
    db = dz.sum(axis=0)
    return dx, dw, db


def relu(z, dy):
    """z (n, units), dy (n, units) -> y (n, units), dz (n, units)"""
    y = np.maximum(z, 0)
    dz = dy * (y > 0)
    return y, dz


def mse(y, t):
    """y (n, features), t (n, features) -> loss, a number, and dy (n, features)"""
    error = y - t
    loss = np.sum(error**2) / len(y)
    dy = 2 * error / len(y)
    return loss, dy


def bce(z, t):
    """z (n, features), the logits, t (n, features) -> loss, a number, and dz (n, features)"""
    tail = np.exp(-np.abs(z))  # never overflows
    loss = np.sum(np.maximum(z, 0) - z * t + np.log1p(tail)) / len(z)
    p = np.where(z >= 0, 1, tail) / (1 + tail)
    dz = (p - t) / len(z)
    return loss, dz


def chain(x, w1, b1, w2, b2):
    """x (n, features), w1 (features, hidden), b1 (hidden,), w2 (hidden, features), b2 (features,)
    -> loss, a number, and dw1, db1, dw2, db2, each of the shape of what it belongs to"""
    h = np.tanh(x @ w1 + b1)  # (n, hidden)
    y = h @ w2 + b2  # (n, features)
    loss = np.sum((y - x) ** 2) / len(x)
    dz2 = 2 * (y - x) / len(x)
    dw2, db2 = h.T @ dz2, dz2.sum(axis=0)
    dz1 = (dz2 @ w2.T) * (1 - h**2)
    dw1, db1 = x.T @ dz1, dz1.sum(axis=0)
    return loss, dw1, db1, dw2, db2


def momentum_step(w, g, v, learning_rate, momentum):
    """w, g and v, the velocity so far, of one shape; two numbers -> the new w and the new v"""
    v = momentum * v + g
    return w - learning_rate * v, v


def adam_step(w, g, m, v, t, learning_rate, beta1, beta2, eps):
    """w, g, m and v of one shape; t = 1, 2, ... and four numbers -> the new w, m and v"""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - learning_rate * m_hat / (np.sqrt(v_hat) + eps), m, v


def he(normal):
    """normal (n_in, n_out), numbers of variance 1 -> w (n_in, n_out)"""
    return normal * np.sqrt(2 / len(normal))


def noisy_code(z, normal, std, dy):
    """z, normal and dy (n, code), std a number -> y (n, code), dz (n, code)"""
    return z + std * normal, dy
