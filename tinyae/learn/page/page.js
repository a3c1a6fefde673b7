// The page: what is shown of the net, and what can be moved. `page` holds all that changes; a
// handler changes it and calls changed(...) with the names of the views that are to be drawn anew.

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const MAP_POINTS = 1000, MOST_SLIDERS = 32, WAY_STEPS = 7;

const page = {
  net: null, // the one that everything shows
  x: null, // (n_features), the sample, as the net reads it
  code: null, // (n_code), the place on the map
  codes: null, // (n_points, n_code), of training samples
  spans: [], // [least, largest] of each unit of the code
  axes: [0, 1], // the units that the map shows
  picked: 0, // the position of x in the training samples; null once something is drawn
  brush: null, // [column, row], the place of the keyboard's brush
};
const views = { map: draw_map, code: draw_code, sample: draw_sample, way: draw_way };
const stale = new Set();

function changed(...names) {
  if (!stale.size) requestAnimationFrame(draw_stale);
  names.forEach((name) => stale.add(name));
}

function draw_stale() {
  const names = [...stale];
  stale.clear();
  names.forEach((name) => views[name]());
}

// ---- what is in the file ----

async function unpack(text, Type) { // base64 of compressed numbers -> array
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Type(await new Response(stream).arrayBuffer());
}

function float16(bits) { // sign, 5 bits of exponent, 10 of fraction
  const sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = (bits & 1023) / 1024;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction) : 2 ** -14 * fraction);
}

const memory = { samples: null, scaling: null, fill: null, weights: null, biases: null };

async function unpack_all() {
  memory.samples = await unpack(data.samples, data.grey ? Uint8Array : Float32Array);
  if (data.fill) memory.fill = await unpack(data.fill, Float64Array);
  if (data.scaling) {
    const { center, spread } = data.scaling;
    memory.scaling = [await unpack(center, Float64Array), await unpack(spread, Float64Array)];
  }
  if (data.weights) {
    memory.weights = Float64Array.from(await unpack(data.weights, Uint16Array), float16);
    memory.biases = await unpack(data.biases, Float32Array);
  }
}

function run_network() { // the run's net, as it was trained
  const net = new Network(data.layers, data.code, data.loss, data.groups, memory.fill);
  net.values.set(memory.weights);
  net.values.set(memory.biases, memory.weights.length);
  return net;
}

const n_features = data.layers[0].n_in;

function samples(positions) { // -> one batch; held-out samples follow on the others
  const x = new Float64Array(positions.length * n_features), step = data.grey ? 1 / 255 : 1;
  positions.forEach((position, s) => {
    const from = position * n_features, to = s * n_features;
    for (let i = 0; i < n_features; i++) x[to + i] = memory.samples[from + i] * step;
  });
  return x;
}

// Between what the net reads and the units of the data.
const in_units = (v, i) => (memory.scaling ? v * memory.scaling[1][i] + memory.scaling[0][i] : v);
const as_read = (v, i) => (memory.scaling ? (v - memory.scaling[0][i]) / memory.scaling[1][i] : v);

// ---- pictures and numbers ----

function digits(v) {
  if (Number.isNaN(v)) return "missing";
  return v === 0 ? "0" : v.toPrecision(3).replace("-", "\u2212");
}

const clip = (v, low, high) => Math.max(low, Math.min(high, v));
const count = (n) => n.toLocaleString("en");
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const TEN = "#1f77b4 #ff7f0e #2ca02c #d62728 #9467bd #8c564b #e377c2 #7f7f7f #bcbd22 #17becf".split(" ");
function class_colour(k) {
  const n = data.label_names.length;
  return n <= 10 ? TEN[k] : `hsl(${300 * k / (n - 1)} 65% ${n <= 20 && k % 2 ? 40 : 56}%)`;
}

function element(tag, text = "", attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function paint(image, at, x) { // a picture into ImageData, its first pixel at place `at`
  const [height, width, channels = 1] = data.image_shape, { low, high } = data;
  for (let r = 0; r < height; r++) {
    for (let c = 0; c < width; c++) {
      const from = (r * width + c) * channels, to = 4 * (at + r * image.width + c);
      for (let k = 0; k < 3; k++) {
        const i = from + (channels === 3 ? k : 0);
        image.data[to + k] = 255 * clip((in_units(x[i], i) - low) / (high - low), 0, 1);
      }
      image.data[to + 3] = 255;
    }
  }
}

function show(id, x, text) { // a picture, or a table of numbers
  const box = $(id);
  if (!data.image_shape) return show_numbers(box, x);
  const [height, width] = data.image_shape;
  const canvas = box.firstChild || box.appendChild(element("canvas", "", { class: "pixels", role: "img" }));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const image = new ImageData(width, height);
  paint(image, 0, x);
  canvas.getContext("2d").putImageData(image, 0, 0);
  canvas.setAttribute("aria-label", text);
}

function show_numbers(box, x) {
  if (!box.firstChild) {
    const table = element("table");
    for (let i = 0; i < n_features; i++) {
      const row = table.appendChild(element("tr"));
      row.append(element("td", data.columns[i] ?? `column ${i}`), element("td"));
    }
    box.appendChild(table);
    box.className = "scroll";
  }
  x.forEach((v, i) => { box.firstChild.rows[i].cells[1].textContent = digits(in_units(v, i)); });
}

function fit(canvas, ratio) { // a canvas as sharp as the screen; sizes in CSS pixels
  const width = canvas.clientWidth || 300, height = width * ratio, scale = devicePixelRatio || 1;
  Object.assign(canvas, { width: width * scale, height: height * scale });
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  return [pen, width, height];
}

// ---- the net that is shown ----

function use(net, name) { // shows another net
  page.net = net;
  $("facts").textContent = `${name}: ${[n_features, ...net.layers.map((l) => l.n_out)].join("-")}, ` +
    `${net.layers.map((l) => l.shown).join(", ")}; loss ${net.loss}; ` +
    `${count(data.n_samples)} of ${count(data.n_all)} training samples are in this page, numbered from 0.`;
  encode_samples();
  const spread = page.spans.map(([low, high], unit) => [high - low, unit]).sort((a, b) => b[0] - a[0]);
  page.axes = spread.slice(0, 2).map(([, unit]) => unit).sort((a, b) => a - b);
  make_axes();
  make_sliders(spread.slice(0, MOST_SLIDERS).map(([, unit]) => unit).sort((a, b) => a - b));
  weights_changed();
}

function encode_samples() { // codes and their spans
  const n = Math.min(data.n_samples, MAP_POINTS), { net } = page, k = net.n_code;
  page.codes = new Float64Array(n * k);
  for (let start = 0; start < n; start += 100) {
    const positions = Array.from({ length: Math.min(100, n - start) }, (_, i) => start + i);
    page.codes.set(net.encode(samples(positions)), start * k);
  }
  page.spans = Array.from({ length: k }, (_, unit) => {
    let low = Infinity, high = -Infinity;
    for (let i = unit; i < page.codes.length; i += k) {
      low = Math.min(low, page.codes[i]);
      high = Math.max(high, page.codes[i]);
    }
    const margin = 0.06 * (high - low) || 0.5;
    return [low - margin, high + margin];
  });
}

function weights_changed() { // another net, or after steps of training
  encode_samples();
  page.code = page.net.encode(page.x);
  changed("map", "code", "sample", "way", "layers");
}

function pick(position) {
  page.picked = clip(position, 0, data.n_samples - 1);
  page.x = samples([page.picked]);
  $("picked").value = page.picked;
  sample_changed();
}

function sample_changed() {
  page.code = page.net.encode(page.x);
  changed("map", "code", "sample", "layers");
}

const class_of = (position) => (data.labels ? `, ${data.label_names[data.labels[position]]}` : "");
