"""The package's solutions are accepted, and usual mistakes are rejected with the right word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinyae.kernels.columns import get_backend
from tinyae.learn.exercises import kernels, solutions
from tinyae.learn.exercises.course import PROGRESS, STATIONS, check, read_progress, state, write
from tinyae.learn.exercises.judge import Mistake
from tinyae.learn.exercises.station import Station
from tinyae.storage.files import FileError

ADAM = """m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * {square}
m_hat, v_hat = m{c1}, v{c2}
return w {sign} learning_rate * m_hat / ({root}), m, v"""
RIGHT = {"square": "g**2", "c1": " / (1 - beta1**t)", "c2": " / (1 - beta2**t)", "sign": "-",
         "root": "np.sqrt(v_hat) + eps"}  # fmt: skip
CHAIN = """h = np.tanh(x @ w1 + b1)
y = h @ w2 + b2
dz2 = 2 * {error} / {n}
dz1 = dz2 @ {back} * {slope}
return np.sum((y - x)**2) / len(x), {dw1}, dz1.sum({axis}), h.T @ dz2, dz2.sum({axis})"""
WELL = {"error": "(y - x)", "n": "len(x)", "back": "w2.T", "slope": "(1 - h**2)",
        "dw1": "x.T @ dz1", "axis": "0"}  # fmt: skip
BCE = """p = 1 / (1 + np.exp(-z))
loss = np.sum(np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z)))) / len(z)
return loss, {dz}"""
LOOPS = """m, depth = a.shape
n = b.shape[1]
for i in range(m):
    for j in range(n):
        total = {start}
        for k in range({depth}):
            total += {term}
        {to} = total"""
PRODUCT = """for i in range(len(a)):
    for j in range(c.shape[1]):
        c[i, j] = a[i, j] * b[i, j]"""
GOOD = {"start": "0.0", "depth": "depth", "term": "a[i, k] * b[k, j]", "to": "c[i, j]"}
KERNEL = """int column = blockIdx.x * blockDim.x + threadIdx.x;
int row = blockIdx.y * blockDim.y + threadIdx.y;
{guard}
REAL sum = {start};
for (int p = 0; p < {depth}; p++) sum {add} a[row * k + p] * {b};
c[row * n + column] = sum;"""
SOUND = {"guard": "if (row >= m || column >= n) return;", "start": "0", "depth": "k", "add": "+=",
         "b": "b[p * n + column]"}  # fmt: skip

# (the word, what is written in the place of the solution), by station
WRONG: dict[int, list[tuple[str, str]]] = {
    1: [("bias", "return x @ w"), ("transposition", "return (x @ w + b).T"),
        ("activation", "return np.maximum(x @ w + b, 0)"), ("return", "z = x @ w + b"),
        ("broadcasting", "return x @ w + np.sum(b)"), ("factor 1/n", "return (x @ w + b) / len(x)"),
        ("sign", "return -(x @ w + b)"), ("in place", "x *= 2; return x / 2 @ w + b"),
        ("transposition", "return w @ x + b"), ("transposition", "return np.dot(x, w.T) + b"),
        ("shape", "return x @ w + b[:, None]")],
    2: [("axis", "return dz @ w.T, x.T @ dz, dz.sum(axis=1)"),
        ("transposition", "return dz @ w.T, dz.T @ x, dz.sum(axis=0)"),
        ("factor 1/n", "return dz @ w.T, x.T @ dz / len(x), dz.sum(axis=0)"),
        ("factor 1/n", "return dz @ w.T, x.T @ dz, dz.mean(axis=0)"),
        ("order", "return x.T @ dz, dz.sum(axis=0), dz @ w.T"),
        ("shape", "return dz @ w.T, x.T @ dz, dz.sum(axis=0, keepdims=True)"),
        ("sign", "return -dz @ w.T, x.T @ dz, dz.sum(axis=0)"),
        ("return", "return dz @ w.T, x.T @ dz"),
        ("transposition", "return dz @ w, x.T @ dz, dz.sum(axis=0)")],
    3: [("derivative", "return np.maximum(z, 0), dy"),
        ("derivative", "return np.maximum(z, 0), dy * np.maximum(z, 0)"),
        ("derivative", "return np.maximum(z, 0), dy * (z >= 0)"),
        ("derivative", "return np.maximum(z, 0), np.maximum(dy, 0)"),
        ("sides", "return np.minimum(z, 0), dy * (z > 0)"),
        ("in place", "y = np.maximum(z, 0); dy *= z > 0; return y, dy"),
        ("order", "return dy * (z > 0), np.maximum(z, 0)"),
        ("array", "return max(z, 0), dy * (z > 0)")],
    4: [("factor 1/n", "return np.sum((y - t)**2) / len(y), 2 * (y - t)"),
        ("factor 1/n", "return np.sum((y - t)**2), 2 * (y - t) / len(y)"),
        ("sign", "return np.sum((y - t)**2) / len(y), 2 * (t - y) / len(y)"),
        ("factor 2", "return np.sum((y - t)**2) / len(y), (y - t) / len(y)"),
        ("mean", "return np.mean((y - t)**2), 2 * (y - t) / y.size"),
        ("shape", "return np.sum((y - t)**2, axis=1) / len(y), 2 * (y - t) / len(y)"),
        ("square", "return np.abs(y - t).sum() / len(y), 2 * (y - t) / len(y)")],
    5: [("overflow", "p = 1 / (1 + np.exp(-z)); return np.sum(-t * np.log(p) - (1 - t) * "
         "np.log(1 - p)) / len(z), (p - t) / len(z)"),
        ("factor 1/n", BCE.format(dz="p - t")), ("sign", BCE.format(dz="(t - p) / len(z)")),
        ("chain rule", BCE.format(dz="(p - t) * p * (1 - p) / len(z)")),
        ("chain rule", BCE.format(dz="(p - t) / (p * (1 - p)) / len(z)")),
        ("logits", BCE.format(dz="(z - t) / len(z)"))],
    6: [("derivative", CHAIN.format(**WELL | {"slope": "1"})),
        ("derivative", CHAIN.format(**WELL | {"slope": "(1 - np.tanh(h)**2)"})),
        ("transposition", CHAIN.format(**WELL | {"back": "w2"})),
        ("factor 1/n", CHAIN.format(**WELL | {"n": "1"})),
        ("axis", CHAIN.format(**WELL | {"axis": "1"})),
        ("sign", CHAIN.format(**WELL | {"error": "(x - y)"})),
        ("input", CHAIN.format(**WELL | {"dw1": "h.T @ dz1"})),
        ("input", CHAIN.format(**WELL).replace("h.T @ dz2", "x.T @ dz2"))],
    7: [("sign", "v = momentum * v + g; return w + learning_rate * v, v"),
        ("momentum", "v = momentum * v + g; return w - learning_rate * g, v"),
        ("old moment", "return w - learning_rate * v, momentum * v + g"),
        ("mean", "v = momentum * v + (1 - momentum) * g; return w - learning_rate * v, v"),
        ("learning rate", "v = momentum * v + learning_rate * g; return w - v, v"),
        ("in place", "v = momentum * v + g; w -= learning_rate * v; return w, v"),
        ("order", "v = momentum * v + g; return v, w - learning_rate * v")],
    8: [("bias correction", ADAM.format(**RIGHT | {"c1": "", "c2": ""})),
        ("bias correction", ADAM.format(**RIGHT | {"c2": ""})),
        ("no number", ADAM.format(**RIGHT | {"c1": " / (1 - beta1 * t)",
                                             "c2": " / (1 - beta2 * t)"})),
        ("division by 0", ADAM.format(**RIGHT | {"c1": " / (1 - beta1**0)"})),
        ("eps", ADAM.format(**RIGHT | {"root": "np.sqrt(v_hat + eps)"})),
        ("root", ADAM.format(**RIGHT | {"root": "v_hat + eps"})),
        ("square", ADAM.format(**RIGHT | {"square": "g"})),
        ("sign", ADAM.format(**RIGHT | {"sign": "+"})),
        ("kept", ADAM.format(**RIGHT).replace(", m, v", ", m_hat, v_hat"))],
    9: [("variance", "return normal * 2 / len(normal)"),
        ("relu", "return normal / np.sqrt(len(normal))"),
        ("n_out", "return normal * np.sqrt(2 / normal.shape[1])"),
        ("n_out", "return normal * np.sqrt(2 / sum(normal.shape))"),
        ("alike", "return np.zeros(normal.shape)"), ("size", "return normal"),
        ("transposition", "return normal.T * np.sqrt(2 / len(normal))")],
    10: [("variance", "return z + std**2 * normal, dy"),
         ("product", "return z * (1 + std * normal), dy"),
         ("derivative", "return z + std * normal, dy * std"),
         ("derivative", "return z + std * normal, 0 * dy"), ("noise", "return z, dy"),
         ("sign", "return z - std * normal, dy"), ("sign", "return z + std * normal, -dy")],
    11: [("start", LOOPS.format(**GOOD | {"start": "c[i, j]"})),
         ("last term", LOOPS.format(**GOOD | {"depth": "depth - 1"})),
         ("transposition", LOOPS.format(**GOOD | {"to": "c[j, i]"})),
         ("unwritten", "m, n = c.shape"), ("product", PRODUCT),
         ("sum", LOOPS.format(**GOOD).replace("+=", "="))],
    12: [("bounds", KERNEL.format(**SOUND | {"guard": ""})),
         ("bounds", KERNEL.format(**SOUND | {"depth": "100"})),
         ("start", KERNEL.format(**SOUND | {"start": "c[row * n + column]"})),
         ("last term", KERNEL.format(**SOUND | {"depth": "k - 1"})),
         ("transposition", KERNEL.format(**SOUND | {"b": "b[column * k + p]"})),
         ("sum", KERNEL.format(**SOUND | {"add": "="})), ("unwritten", "return;"),
         ("compile", "REAL sum = 0")],
}  # fmt: skip


def filled(station: Station, body: str, folder: Path) -> Path:
    """The station's file with ``body`` in it."""
    path = write(station, folder)
    text = path.read_text(encoding="utf-8")
    hole = "// write it" if path.suffix == ".cu" else "raise NotImplementedError"
    assert text.count(hole) == 1
    path.write_text(text.replace(hole, body.replace("\n", "\n    ")), encoding="utf-8")
    return path


@pytest.mark.parametrize("station", STATIONS, ids=lambda s: s.number)
def test_the_packages_own_solution_is_right(station: Station, tmp_path: Path) -> None:
    path = write(station, tmp_path)
    assert state(station, tmp_path, {}) == "begun"
    own = station.own_file.read_text(encoding="utf-8")
    assert station.solution() in own
    path.write_text(own, encoding="utf-8")
    check(station, tmp_path)
    assert state(station, tmp_path, read_progress(tmp_path)) == "done"
    path.write_text(own + "\n", encoding="utf-8")
    assert state(station, tmp_path, read_progress(tmp_path)) == "changed"


@pytest.mark.parametrize(
    ("number", "word", "body"),
    [(number, *wrong) for number, several in WRONG.items() for wrong in several],
    ids=lambda value: str(value)[:20].split("\n")[0],
)
def test_a_mistake_has_its_word(number: int, word: str, body: str, tmp_path: Path) -> None:
    station = STATIONS[number - 1]
    filled(station, body, tmp_path)
    with pytest.raises(Mistake) as found:
        check(station, tmp_path)
    assert found.value.word == word, found.value
    assert not (tmp_path / PROGRESS).exists()


def test_what_does_not_fit_is_told_with_its_shapes(tmp_path: Path) -> None:
    for body, said in (
        ("return w @ x + b", "transposition: line 21, in forward, with w (4, 3), x (5, 4), b (3,): "
         "a @ b needs as many columns in a as b has rows"),
        ("z = x @ w\nreturn z + b[:, None]", "shape: line 22, in forward, with z (5, 3), b (3,): "),
    ):  # fmt: skip
        filled(STATIONS[0], body, tmp_path)
        with pytest.raises(Mistake) as found:
            check(STATIONS[0], tmp_path)
        assert str(found.value).startswith(said)


def test_five_mistakes_or_more_of_each_station() -> None:
    assert [len(WRONG[station.number]) >= 5 for station in STATIONS] == [True] * 12
    assert [station.number for station in STATIONS] == list(range(1, 13))


@pytest.mark.parametrize("station", STATIONS, ids=lambda s: s.number)
def test_what_a_station_begins_with(station: Station, tmp_path: Path) -> None:
    path = write(station, tmp_path)
    text = path.read_text(encoding="utf-8")
    assert station.theory.strip().splitlines()[0] in text and "shape" not in station.title
    assert 8 <= len(station.theory.strip().splitlines()) <= 14
    assert max(map(len, text.splitlines())) <= 104
    end = "    // write it\n}\n" if path.suffix == ".cu" else "    raise NotImplementedError\n"
    assert text.endswith(end)  # the answer is not in it
    with pytest.raises(Mistake) as found:
        check(station, tmp_path)
    assert found.value.word == "unwritten"
    root = Path(__file__).parents[3]
    for home in station.home.split("; "):
        assert (root / home.split(": ")[-1].split(",")[0]).exists()


def test_solutions_are_what_the_kernels_compute() -> None:
    """Of the layer, relu, both losses and both updates."""
    ops, rng = get_backend("numpy"), np.random.default_rng(5)
    x, w, b, dz = (rng.normal(size=s) for s in ((5, 4), (4, 3), (3,), (5, 3)))
    z, dx, dw, db = (np.empty(s) for s in ((5, 3), (5, 4), (4, 3), (3,)))
    ops.dense_forward(x, w, b, "identity", z, None)
    np.testing.assert_allclose(solutions.forward(x, w, b), z, rtol=1e-14)
    ops.dense_backward_weights(x, dz, dw, db)
    ops.dense_backward_input(dz, w, "identity", x, dx)
    for ours, theirs in zip(solutions.backward(x, w, dz), (dx, dw, db)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-13)
    y, back, totals = np.empty_like(z), np.empty_like(z), np.empty(2)
    ops.activation_forward(z, "relu", y)
    ops.activation_backward(dz, "relu", y, back)
    for ours, theirs in zip(solutions.relu(z, dz), (y, back)):
        np.testing.assert_array_equal(ours, theirs)
    t = rng.uniform(0, 1, z.shape)
    for name, own in (("mse", solutions.mse), ("bce", solutions.bce)):
        ops.loss(name, z, t, back, totals)
        loss, gradient = own(z, t)
        assert loss == pytest.approx(totals[0] / 5, rel=1e-14)
        np.testing.assert_allclose(gradient, back, rtol=1e-13)
    hyper = np.array([0.1, 0.0, 0.9, 0.9, 0.99, 1e-3, 1 - 0.9**3, 1 - 0.99**3])
    m, v = 0.1 * w, w**2
    after = w.copy(), m.copy(), v.copy()
    ops.update("adam", after[0].ravel(), dw.ravel(), (after[1].ravel(), after[2].ravel()), hyper,
               12, np.zeros(2))  # fmt: skip
    for ours, theirs in zip(solutions.adam_step(w, dw, m, v, 3, 0.1, 0.9, 0.99, 1e-3), after):
        np.testing.assert_allclose(ours, theirs, rtol=1e-13)


@pytest.mark.parametrize(
    ("body", "said"),
    (
        ("return x @ v", "exercise_01.py, line 21, in forward: NameError: name 'v' is not defined"),
        ("return x.reshape(7)", "exercise_01.py, line 21, in forward: ValueError: cannot reshape"),
        ("return (x @ w", "exercise_01.py, line 21: '(' was never closed"),
        ("raise SystemExit(3)", "exercise_01.py, line 21, in forward: SystemExit: 3"),
        ("return forward(x, w, b)", "exercise_01.py, line 21, in forward: RecursionError"),
    ),
)
def test_an_error_of_the_users_is_told_with_its_line(body: str, said: str, tmp_path: Path) -> None:
    filled(STATIONS[0], body, tmp_path)
    with pytest.raises(RuntimeError) as found:
        check(STATIONS[0], tmp_path)
    assert str(found.value).startswith(said)
    assert [file.name for file in tmp_path.iterdir()] == ["exercise_01.py"]


def test_other_things_that_are_no_solution(tmp_path: Path) -> None:
    station = STATIONS[0]
    for text, word in (
        ("forward = 3\n", "name"), ("", "name"), ("def forward(x, w, b): return 'z'\n", "type"),
        ("def forward(x, w, b): return [[1], [1, 2]]\n", "type"),
    ):  # fmt: skip
        (tmp_path / station.file).write_text(text, encoding="utf-8")
        with pytest.raises(Mistake) as found:
            check(station, tmp_path)
        assert found.value.word == word
    path = tmp_path / "exercise_11.py"
    path.write_text("def product(a, b, c): c[:] = a @ b\n", encoding="utf-8")
    with pytest.raises(Mistake, match="compiled: this is a Python function still"):
        check(STATIONS[10], tmp_path)
    (tmp_path / "exercise_12.cu").write_text("int x;\n", encoding="utf-8")
    with pytest.raises(Mistake, match="kernel: the file must have one kernel"):
        check(STATIONS[11], tmp_path)


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    write(STATIONS[10], tmp_path)
    with pytest.raises(ImportError, match=r'needs Numba.* pip install "tinyae\[numba\]"'):
        check(STATIONS[10], tmp_path)
    monkeypatch.setattr("shutil.which", lambda name: None)
    write(STATIONS[11], tmp_path)
    with pytest.raises(RuntimeError, match=r"exercise 12 .*: it needs a C\+\+ compiler"):
        check(STATIONS[11], tmp_path)


def test_progress_that_is_another_programs_stays(tmp_path: Path) -> None:
    (tmp_path / PROGRESS).write_text('{"mine": 1}', encoding="utf-8")
    filled(STATIONS[0], "return x @ w + b", tmp_path)
    with pytest.raises(FileError, match="not the progress of exercises"):
        check(STATIONS[0], tmp_path)
    assert (tmp_path / PROGRESS).read_text(encoding="utf-8") == '{"mine": 1}'


def test_a_kernel_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "TIMEOUT", 2.0)
    filled(STATIONS[11], "for (;;) c[0] += 1;", tmp_path)
    with pytest.raises(Mistake, match="endless: the kernel has not ended in 2 s"):
        check(STATIONS[11], tmp_path)
