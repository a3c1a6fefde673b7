// The net, by the names of tinyae's Python files, which do the same: activations, dense layers and
// losses as in kernels/reference/; records, network, forward and backward as in net/. All numbers
// are float64. A batch of n samples is one array, row after row.
"use strict";

// ---- activations: y = forward(z); the slope from the output y, or for silu and gelu from z ----

const sigmoid = (z) => Math.exp(Math.min(z, 0)) / (1 + Math.exp(-Math.abs(z)));
const gelu_tanh = (z) => Math.tanh((z * z * 0.044715 + 1) * z * 0.7978845608028654);

const ACTIVATIONS = {
  identity: { forward: (z) => z, slope: () => 1 },
  relu: { forward: (z) => Math.max(z, 0), slope: (y) => (y > 0 ? 1 : 0) },
  leaky_relu: { forward: (z) => Math.max(z, 0.01 * z), slope: (y) => (y > 0 ? 1 : 0.01) },
  elu: { forward: (z) => (z > 0 ? z : Math.expm1(z)), slope: (y) => Math.min(y, 0) + 1 },
  sigmoid: { forward: sigmoid, slope: (y) => y * (1 - y) },
  tanh: { forward: Math.tanh, slope: (y) => 1 - y * y },
  softplus: {
    forward: (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))),
    slope: (y) => -Math.expm1(-y),
  },
  silu: {
    forward: (z) => z * sigmoid(z),
    slope: (y, z) => sigmoid(z) * (1 + z * (1 - sigmoid(z))),
  },
  gelu: {
    forward: (z) => z * (1 + gelu_tanh(z)) * 0.5,
    slope: (y, z) => {
      const t = gelu_tanh(z);
      return 0.5 * (1 + t + z * (1 - t * t) * 0.7978845608028654 * (1 + 0.134145 * z * z));
    },
  },
};
const RECTIFIERS = ["relu", "leaky_relu", "elu", "softplus", "silu", "gelu"]; // start as he
const KINKED = ["relu", "leaky_relu", "elu"];

function activation_forward(z, activation, y) {
  const { forward } = ACTIVATIONS[activation];
  for (let i = 0; i < z.length; i++) y[i] = forward(z[i]);
}

function activation_backward(dy, activation, y, z, dz) {
  const { slope } = ACTIVATIONS[activation];
  for (let i = 0; i < dy.length; i++) dz[i] = dy[i] * slope(y[i], z[i]);
}

// ---- dense layer: x (n, n_in), w (n_in, n_out), b (n_out), z and dz (n, n_out) ----

function dense_forward(x, w, b, z) { // z = x @ w + b
  const n_out = b.length, n_in = w.length / n_out, n = z.length / n_out;
  for (let s = 0; s < n; s++) {
    const to = s * n_out;
    for (let j = 0; j < n_out; j++) z[to + j] = b[j];
    for (let i = 0; i < n_in; i++) {
      const x_i = x[s * n_in + i], row = i * n_out;
      if (x_i !== 0) for (let j = 0; j < n_out; j++) z[to + j] += x_i * w[row + j];
    }
  }
}

function dense_backward_weights(x, dz, dw, db) { // dw = x.T @ dz, db = sum of dz's rows
  const n_out = db.length, n_in = dw.length / n_out, n = dz.length / n_out;
  dw.fill(0);
  db.fill(0);
  for (let s = 0; s < n; s++) {
    const from = s * n_out;
    for (let j = 0; j < n_out; j++) db[j] += dz[from + j];
    for (let i = 0; i < n_in; i++) {
      const x_i = x[s * n_in + i], row = i * n_out;
      if (x_i !== 0) for (let j = 0; j < n_out; j++) dw[row + j] += x_i * dz[from + j];
    }
  }
}

function dense_backward_input(dz, w, n_out, dx) { // dx = dz @ w.T
  const n_in = w.length / n_out, n = dz.length / n_out;
  for (let s = 0; s < n; s++) {
    const from = s * n_out;
    for (let i = 0; i < n_in; i++) {
      let sum = 0;
      for (let j = 0, row = i * n_out; j < n_out; j++) sum += dz[from + j] * w[row + j];
      dx[s * n_in + i] = sum;
    }
  }
}

// ---- losses: summed over features and samples; gradients are those of the mean of n samples ----
// Each gives [loss, its slope] of an output and a target. The outputs of bce are logits z with
// p = sigmoid(z): of -t log p - (1 - t) log(1 - p) the slope is p - t.

const LOSSES = {
  mse: (y, t) => [(y - t) ** 2, 2 * (y - t)],
  bce: (z, t) => [Math.max(z, 0) - z * t + Math.log1p(Math.exp(-Math.abs(z))), sigmoid(z) - t],
  l1: (y, t) => [Math.abs(y - t), Math.sign(y - t)],
  huber: (y, t) => {
    const c = Math.max(-1, Math.min(1, y - t)); // the error, clipped
    return [c * (y - t - c / 2), c];
  },
};

function loss(name, output, target, n, gradient) { // -> the sum; NaN is a missing value
  const one = LOSSES[name];
  let total = 0;
  for (let i = 0; i < output.length; i++) {
    const [value, slope] = Number.isNaN(target[i]) ? [0, 0] : one(output[i], target[i]);
    total += value;
    gradient[i] = slope / n;
  }
  return total;
}

// The columns of a group are the logits of one category's levels: softmax and cross-entropy.
function softmax(z, start, stop) {
  const levels = z.slice(start, stop), most = Math.max(...levels);
  const powers = levels.map((level) => Math.exp(level - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

function softmax_loss(groups, output, target, n, gradient) {
  const width = output.length / n;
  let total = 0;
  for (let row = 0; row < output.length; row += width) {
    for (const [start, stop] of groups) {
      const p = softmax(output, row + start, row + stop), t = target.slice(row + start, row + stop);
      const known = !t.some(Number.isNaN), weight = t.reduce((a, b) => a + b);
      for (let k = 0; k < p.length; k++) {
        if (known && t[k] !== 0) total -= t[k] * Math.log(p[k]);
        gradient[row + start + k] = known ? (p[k] * weight - t[k]) / n : 0;
      }
    }
  }
  return total;
}

// ---- network: layers over one array of all parameters, weights before biases ----

class Network {
  // specs: [{name, n_in, n_out, activation}], of which the first `code` make the code
  constructor(specs, code, loss, groups = [], fill = null) {
    const n_weights = specs.reduce((sum, s) => sum + s.n_in * s.n_out, 0);
    const size = specs.reduce((sum, s) => sum + s.n_out, n_weights);
    Object.assign(this, { specs, code, loss, groups, fill });
    this.values = new Float64Array(size);
    this.gradients = new Float64Array(size);
    let at = 0, bias = n_weights;
    this.layers = specs.map(({ name, n_in, n_out, activation }, i) => {
      // cross-entropy works on logits: the last sigmoid belongs to the picture, not to training
      const logits = i === specs.length - 1 && loss === "bce";
      if (logits) activation = "identity";
      const shown = logits ? "identity (its sigmoid is in the loss)" : activation;
      const [w, dw] = [this.values, this.gradients].map((p) => p.subarray(at, at + n_in * n_out));
      const [b, db] = [this.values, this.gradients].map((p) => p.subarray(bias, bias + n_out));
      at += n_in * n_out;
      bias += n_out;
      return { name, n_in, n_out, activation, shown, w, b, dw, db };
    });
    this.n_features = specs[0].n_in;
    this.n_code = specs[code].n_in;
    this.workspace = new Map();
  }

  // What the layers leave behind for n samples: x, z, y on the way forward, dz on the way back.
  records(n) {
    if (!this.workspace.has(n)) {
      this.workspace.set(n, this.layers.map((layer) => {
        const [z, y, dz] = [0, 1, 2].map(() => new Float64Array(n * layer.n_out));
        return { layer, x: null, z, y, dz, noise: null };
      }));
    }
    return this.workspace.get(n);
  }

  filled(x) {
    return this.fill ? x.map((v, i) => (Number.isNaN(v) ? this.fill[i % this.n_features] : v)) : x;
  }

  encode(x) { // samples -> codes
    const n = x.length / this.n_features;
    return forward(this.filled(x), this.records(n).slice(0, this.code)).slice();
  }

  decode(code) { // codes -> reconstructions, of categories probabilities
    const n = code.length / this.n_code;
    return this.link(forward(code, this.records(n).slice(this.code)));
  }

  link(output) { // the last layer's output -> reconstructions
    const y = this.loss === "bce" ? output.map(sigmoid) : output.slice();
    for (let row = 0; row < y.length; row += this.n_features) {
      for (const [start, stop] of this.groups) y.set(softmax(output, row + start, row + stop), row + start);
    }
    return y;
  }

  reconstruct(x) {
    return this.decode(this.encode(x));
  }
}

function forward(x, records) {
  for (const record of records) {
    const { layer, noise, z, y } = record;
    record.x = x = noise ? x.map((value, i) => value + noise[i]) : x;
    dense_forward(x, layer.w, layer.b, z);
    activation_forward(z, layer.activation, y);
    x = y;
  }
  return x;
}

function backward(records) { // all gradients, from the last record's dz down to the first layer
  for (let i = records.length - 1; i >= 0; i--) {
    const { layer, x, dz } = records[i], below = records[i - 1];
    dense_backward_weights(x, dz, layer.dw, layer.db);
    if (below) {
      dense_backward_input(dz, layer.w, layer.n_out, below.dz);
      activation_backward(below.dz, below.layer.activation, below.y, below.z, below.dz);
    }
  }
}
