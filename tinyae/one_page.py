"""A whole autoencoder on one page: NumPy, two layers down, two layers up, trained by hand.

    python -m tinyae.one_page

It learns the 200 frames of a film in which a ball crosses the picture, and puts one number in the
place of each frame's 256 pixels. Then it makes the frame between two frames: the mean of their
pixels shows two ghosts, the mean of their two numbers decodes to one ball.

Where each part goes on: layers of all kinds in net/, what they compute on a GPU in kernels/,
minibatches, schedules and checkpoints in train/, the class that has it all in estimator.py.
"""

import numpy as np

SIDE, RADIUS = 16, 2.5
PIXELS, HIDDEN, CODE = SIDE * SIDE, 32, 1
EPOCHS, BATCH, LEARNING_RATE = 500, 20, 0.005


def film(n):  # -> (n, PIXELS)
    """n frames: the ball's centre goes from the left to the right, 1 inside, 0 outside."""
    pixel, centre = np.arange(SIDE), np.linspace(RADIUS + 0.5, SIDE - RADIUS - 1.5, n)
    across, down = pixel - centre[:, None, None], pixel[:, None] - (SIDE - 1) / 2
    distance = np.sqrt(across**2 + down**2)  # (n, SIDE, SIDE)
    return np.clip(RADIUS + 0.5 - distance, 0, 1).reshape(n, PIXELS)


def start(rng):
    """Weights and biases of the four layers, w (n_in, n_out) and b (n_out,)."""
    sizes, net = [PIXELS, HIDDEN, CODE, HIDDEN, PIXELS], {}
    for i in (1, 2, 3, 4):
        net[f"w{i}"] = rng.standard_normal(sizes[i - 1 : i + 1]) / np.sqrt(sizes[i - 1])
        net[f"b{i}"] = np.zeros(sizes[i])
    return net


def encode(net, x):  # x (batch, PIXELS)
    h1 = np.tanh(x @ net["w1"] + net["b1"])  # (batch, HIDDEN)
    code = h1 @ net["w2"] + net["b2"]  # (batch, CODE)
    return h1, code


def decode(net, code):
    h3 = np.tanh(code @ net["w3"] + net["b3"])  # (batch, HIDDEN)
    logits = h3 @ net["w4"] + net["b4"]  # (batch, PIXELS)
    return h3, logits


def pixels(logits):
    """The sigmoid: any number becomes a grey between 0 and 1."""
    return 1 / (1 + np.exp(-logits))


def loss(logits, x):
    """Cross-entropy, summed over a frame's pixels, the mean of the frames; no exp overflows.

    At its best, where the pixels are x, it is not 0 but for x of 0 and 1: of a grey x = 0.5 log 2
    is left.
    """
    return np.sum(np.maximum(logits, 0) - x * logits + np.log1p(np.exp(-np.abs(logits)))) / len(x)


def backward(net, x, h1, code, h3, logits):
    """The gradient of the loss with respect to each parameter, by the chain rule.

    dz is the gradient with respect to what a layer adds up, x @ w + b. From it follow those of w
    and b, and, through w, that of the layer below. The derivative of tanh is 1 - tanh^2.
    """
    gradient = {}
    dz4 = (pixels(logits) - x) / len(x)  # sigmoid and cross-entropy together
    gradient["w4"], gradient["b4"] = h3.T @ dz4, dz4.sum(axis=0)
    dz3 = dz4 @ net["w4"].T * (1 - h3**2)  # (batch, HIDDEN)
    gradient["w3"], gradient["b3"] = code.T @ dz3, dz3.sum(axis=0)
    dz2 = dz3 @ net["w3"].T  # (batch, CODE), no activation
    gradient["w2"], gradient["b2"] = h1.T @ dz2, dz2.sum(axis=0)
    dz1 = dz2 @ net["w2"].T * (1 - h1**2)  # (batch, HIDDEN)
    gradient["w1"], gradient["b1"] = x.T @ dz1, dz1.sum(axis=0)
    return gradient


def adam(net, gradient, mean, square, t):
    """Update t = 1, 2, ...: a step along the mean gradient over its size (Kingma and Ba 2015)."""
    for name in net:
        mean[name] = 0.9 * mean[name] + 0.1 * gradient[name]
        square[name] = 0.999 * square[name] + 0.001 * gradient[name] ** 2
        size = np.sqrt(square[name] / (1 - 0.999**t))
        net[name] -= LEARNING_RATE * mean[name] / (1 - 0.9**t) / (size + 1e-8)


def train(net, x, rng, epochs=EPOCHS):
    """All frames in minibatches, again and again; returns the mean loss of each epoch."""
    mean, square = ({name: np.zeros_like(p) for name, p in net.items()} for _ in range(2))
    losses = []
    for batch in (b for _ in range(epochs) for b in rng.permutation(len(x)).reshape(-1, BATCH)):
        h1, code = encode(net, x[batch])
        h3, logits = decode(net, code)
        losses.append(loss(logits, x[batch]))
        adam(net, backward(net, x[batch], h1, code, h3, logits), mean, square, t=len(losses))
    return np.reshape(losses, (epochs, -1)).mean(axis=1)


def check(net, x, step=1e-5):
    """The largest gradient of each parameter beside finite differences: off by how much of it?"""
    h1, code = encode(net, x)
    gradient, errors = backward(net, x, h1, code, *decode(net, code)), []
    for name, exact in gradient.items():
        place, losses = np.abs(exact).argmax(), []
        for move in (step, -2 * step, step):  # above, below, and back
            net[name].flat[place] += move
            losses.append(loss(decode(net, encode(net, x)[1])[1], x))
        errors.append((losses[0] - losses[1]) / (2 * step) / exact.flat[place] - 1)
    return np.abs(errors).max()


def show(title, *frames):
    print(f"\n{title}\n")
    for row in range(3, SIDE - 3):
        grey = [frame.reshape(SIDE, SIDE)[row] for frame in frames]
        print("   ".join("".join(" .:-=+*#%@"[round(9 * v)] * 2 for v in line) for line in grey))


def main():
    rng = np.random.default_rng(0)
    x, net = film(200), start(rng)  # (200, PIXELS)
    print(f"gradients are off by {check(net, x):.0e} of their size, beside finite differences")
    print("loss of epochs 1, 10, 100, 500:", *train(net, x, rng)[[0, 9, 99, 499]].round(4))
    first, last = x[[20]], x[[179]]
    middle = (encode(net, first)[1] + encode(net, last)[1]) / 2
    show("two frames of the film", first, last)
    show("the frame between them: the mean of their pixels; the mean of their codes, decoded",
         (first + last) / 2, pixels(decode(net, middle)[1]))  # fmt: skip


if __name__ == "__main__":
    main()
