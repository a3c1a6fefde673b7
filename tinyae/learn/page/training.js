// Training by the names of tinyae's Python files: objective train/objective.py, Adam
// train/optimizers.py and kernels/reference/update.py, first weights net/initializers.py, the check
// gradient_check.py. A batch x holds n samples, row after row.
// ---- objective ----

function objective_value(net, x, n, noise = null) { // -> the mean loss; leaves d(loss)/d(output)
  const records = net.records(n), last = records[records.length - 1];
  records[net.code].noise = noise; // (n, code), what is added to the codes
  const output = forward(net.filled(x), records);
  records[net.code].noise = null;
  let total = 0, numbers = x;
  if (net.groups.length) { // their columns are for softmax_loss alone
    numbers = x.map((v, i) => (i % net.n_features < net.groups[0][0] ? v : NaN));
  }
  total += loss(net.loss, output, numbers, n, last.dz);
  return (total + softmax_loss(net.groups, output, x, n, last.dz)) / n;
}

function objective_gradient(net, x, n, noise = null) { // -> the mean loss; fills net.gradients
  const value = objective_value(net, x, n, noise), records = net.records(n);
  const last = records[records.length - 1];
  activation_backward(last.dz, last.layer.activation, last.y, last.z, last.dz);
  backward(records);
  return value;
}

// Steps along the mean gradient over its size (Kingma and Ba 2015).
class Adam {
  constructor(net) {
    this.net = net;
    this.m = new Float64Array(net.values.length);
    this.v = new Float64Array(net.values.length);
    this.updates = 0;
  }

  apply(learning_rate, beta1 = 0.9, beta2 = 0.999, eps = 1e-8) {
    const { m, v, net: { values: w, gradients: g } } = this, t = ++this.updates;
    const correction1 = 1 - beta1 ** t, correction2 = 1 - beta2 ** t; // both means started at 0
    for (let i = 0; i < w.length; i++) {
      m[i] = beta1 * m[i] + (1 - beta1) * g[i];
      v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
      w[i] -= learning_rate * (m[i] / correction1) / (Math.sqrt(v[i] / correction2) + eps);
    }
  }
}

// ---- chance: the same numbers in every browser ----

class Random {
  constructor(seed) {
    this.state = seed;
  }

  uniform() { // in [0, 1): mulberry32
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  normal() { // Box and Muller 1958
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }

  permutation(n) { // Fisher and Yates
    const order = Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = Math.floor(this.uniform() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }
}

// he before a rectifier, glorot elsewhere, as tinyae/net/initializers.py; biases are 0
function initialize(net, random) {
  for (const { w, n_in, n_out, activation } of net.layers) {
    const bound = Math.sqrt(6 / (n_in + n_out)), std = Math.sqrt(2 / n_in);
    const he = RECTIFIERS.includes(activation);
    for (let i = 0; i < w.length; i++) {
      w[i] = he ? std * random.normal() : bound * (2 * random.uniform() - 1);
    }
  }
  return net;
}

// ---- gradient check: (f(-2h) - 8 f(-h) + 8 f(h) - f(2h)) / 12 h beside backpropagation ----

function gradient_check(net, x, n, random, places = 6) { // -> [{name, gradient, numeric, error}]
  objective_gradient(net, x, n);
  const rows = [];
  for (const { name, w, b, dw, db } of net.layers) {
    for (const [kind, values, gradients] of [["weight", w, dw], ["bias", b, db]]) {
      let steepest = 0;
      gradients.forEach((g, i) => { if (Math.abs(g) > Math.abs(gradients[steepest])) steepest = i; });
      const row = { name: `${name}.${kind}`, error: 0, gradient: gradients[steepest] };
      for (let k = 0; k < places; k++) {
        const i = k === 0 ? steepest : Math.floor(random.uniform() * values.length);
        const numeric = derivative(net, x, n, values, i);
        if (k === 0) row.numeric = numeric;
        // NaN: a kink is too near
        const error = Math.abs(numeric - gradients[i]) / (Math.abs(gradients[steepest]) || 1);
        if (error > row.error) row.error = error;
      }
      rows.push(row);
    }
  }
  return rows;
}

function derivative(net, x, n, values, i) { // d(loss)/d(values[i]) by finite differences
  const start = values[i];
  for (const h of [1e-3, 1e-4, 1e-5]) {
    let sum = 0;
    const patterns = new Set();
    for (const [steps, share] of [[-2, 1], [-1, -8], [1, 8], [2, -1]]) {
      values[i] = start + steps * h;
      sum += share * objective_value(net, x, n);
      patterns.add(sides(net, x, n));
    }
    values[i] = start;
    if (patterns.size === 1) return sum / (12 * h);
  }
  return NaN;
}

// On which side of its kink each unit and each error is: differences must not straddle one.
function sides(net, x, n) {
  const bits = [], records = net.records(n), last = records[records.length - 1];
  for (const { layer, y } of records) {
    if (KINKED.includes(layer.activation)) y.forEach((v) => bits.push(v > 0));
  }
  if (net.loss === "l1") last.y.forEach((v, i) => bits.push(v > x[i]));
  if (net.loss === "huber") last.y.forEach((v, i) => bits.push(Math.abs(v - x[i]) > 1));
  return bits.map(Number).join("");
}
