// Training, what it does inside, and the start of the page.

const BATCH = 32, CHECKED = 8, FRAME = 24, FOLLOW = 400, PICTURES = 32, TERMS = 5; // ms, ms, count, count
const EXACT = 1e-4; // a larger relative error of a gradient is a mistake
const player = { adam: null, random: null, order: [], epoch: 0, losses: [], held_out: [], playing: false, followed: 0 };
views.curve = draw_curve;
views.layers = draw_layers;

function new_network() { // another small net, of random weights
  const hidden = Number($("hidden").value), code = clip(Math.round($("n-code").value) || 1, 1, 32);
  const activation = $("activation").value, output = data.layers[data.layers.length - 1].activation;
  $("n-code").value = code;
  const layer = (name, n_in, n_out, act) => ({ name, n_in, n_out, activation: act });
  const net = new Network([
    layer("encoder.0", n_features, hidden, activation), layer("encoder.1", hidden, code, $("code-activation").value),
    layer("decoder.0", code, hidden, activation), layer("decoder.1", hidden, n_features, output),
  ], 2, data.loss, data.groups, memory.fill);
  return initialize(net, new Random(1));
}

function start_with(net, name) { // shows a net and begins its training at step 0
  pause();
  Object.assign(player, { adam: new Adam(net), random: new Random(2), order: [], epoch: 0, losses: [], held_out: [] });
  use(net, name);
  $("check-result").replaceChildren();
  say_progress();
  changed("curve");
}

// ---- steps ----

function next_batch() { // every sample once an epoch, in another order each time
  if (!player.order.length) player.order = player.random.permutation(data.n_samples);
  return player.order.splice(0, BATCH);
}

function train_step() { // -> whether the loss is a number
  const { net } = page, positions = next_batch(), n = positions.length, std = Number($("noise").value);
  const noise = std ? Float64Array.from({ length: n * net.n_code }, () => std * player.random.normal()) : null;
  const value = objective_gradient(net, samples(positions), n, noise);
  if (!Number.isFinite(value)) return false; // the last good weights stay
  player.adam.apply(Number($("learning-rate").value));
  player.losses.push(value);
  if (!player.order.length) {
    player.epoch++;
    player.held_out.push([player.losses.length, held_out_error()]);
  }
  return true;
}

function held_out_error() { // mean squared error of a sample that no step has seen
  const n = data.n_held_out;
  let sum = 0;
  for (let s = 0; s < n; s++) {
    const x = samples([data.n_samples + s]), y = page.net.reconstruct(x);
    for (let i = 0; i < x.length; i++) sum += Number.isNaN(x[i]) ? 0 : (x[i] - y[i]) ** 2;
  }
  return sum / n;
}

function play() {
  player.playing = true;
  say_playing();
  requestAnimationFrame(play_on);
}

function pause() {
  player.playing = false;
  say_playing();
}

function say_playing() {
  $("play").textContent = player.playing ? "pause" : "play";
  $("play").setAttribute("aria-pressed", player.playing);
}

function play_on() { // steps for as long as a frame may take
  if (!player.playing) return;
  const began = performance.now();
  let good = true;
  while (good && performance.now() - began < FRAME) good = train_step();
  stepped(good, began - player.followed > FOLLOW);
  if (good) requestAnimationFrame(play_on);
}

function stepped(good, follow) {
  if (!good) pause();
  if (follow || !good) {
    player.followed = performance.now();
    weights_changed();
  }
  $("check-result").replaceChildren();
  changed("curve");
  say_progress(good);
}

function say_progress(good = true) {
  const { losses, held_out } = player, steps = losses.length;
  const parts = [`epoch ${player.epoch}, step ${steps.toLocaleString("en")}`];
  if (steps) parts.push(`loss ${digits(losses[steps - 1])}`);
  if (held_out.length && data.n_held_out) parts.push(`squared error of a held-out sample ${digits(held_out[held_out.length - 1][1])}`);
  if (!good) parts.push("the loss is no longer a finite number, so this step was not taken: choose a smaller learning rate and make a new net");
  $("progress").textContent = parts.join("; ");
}

function draw_curve() {
  const [pen, width, height] = fit($("curve"), innerWidth < 600 ? 0.5 : 0.25), { losses, held_out } = player;
  const errors = held_out.filter(([, error]) => error > 0), steps = losses.length;
  const logs = [...losses, ...errors.map(([, error]) => error)].filter((v) => v > 0).map(Math.log10);
  $("curve").setAttribute("aria-label", steps ? `Loss curve of ${steps} steps, from ${digits(losses[0])} to ${digits(losses[steps - 1])}` : "Loss curve: no step yet");
  Object.assign(pen, { font: "12px system-ui, sans-serif", fillStyle: css("--muted"), strokeStyle: css("--line"), textBaseline: "middle" });
  if (!logs.length) return pen.fillText("no step yet", 12, height / 2);
  const low = logs.reduce((a, b) => Math.min(a, b)) - 0.05, high = logs.reduce((a, b) => Math.max(a, b)) + 0.05;
  const left = 48, across = (step) => left + (width - left - 8) * step / steps;
  const up = (value) => 10 + (height - 20) * (high - Math.log10(value)) / (high - low);
  for (let power = Math.floor(low); power <= high; power++) {
    for (const tick of (high - low > 0.8 ? [1, 2, 5] : [1, 2, 3, 4, 5, 6, 7, 8, 9]).map((part) => part * 10 ** power)) {
      if (Math.log10(tick) < low || Math.log10(tick) > high) continue;
      pen.fillText(Number(tick.toPrecision(1)), 6, up(tick));
      pen.beginPath();
      pen.moveTo(left, up(tick));
      pen.lineTo(width, up(tick));
      pen.stroke();
    }
  }
  Object.assign(pen, { strokeStyle: css("--accent"), lineWidth: 1.5 });
  pen.beginPath();
  const stride = Math.max(1, Math.floor(steps / width)); // the mean of so many steps is a point
  for (let k = 0; k + stride <= steps; k += stride) {
    let mean = 0;
    for (let i = k; i < k + stride; i++) mean += losses[i] / stride;
    pen.lineTo(across(k + stride / 2), up(mean || 10 ** low));
  }
  pen.stroke();
  pen.fillStyle = css("--plus");
  for (const [step, error] of errors) pen.fillRect(across(step) - 2, up(error) - 2, 4, 4);
}

// ---- check ----

function check() {
  const n = Math.min(CHECKED, data.n_samples), positions = Array.from({ length: n }, (_, i) => i);
  const rows = gradient_check(page.net, samples(positions), n, new Random(3));
  const worst = Math.max(...rows.map((row) => row.error)), table = element("table"), head = element("tr");
  head.append(...["parameter", "backpropagation", "finite differences", "relative error"].map((text) => element("th", text)));
  table.append(head, ...rows.map(({ name, gradient, numeric, error }) => {
    const line = element("tr"), cells = [gradient.toPrecision(6), Number.isNaN(numeric) ? "at a kink" : numeric.toPrecision(6), error.toExponential(1)];
    line.append(element("td", name), ...cells.map((text) => element("td", text)));
    if (error > EXACT) line.lastChild.className = "bad";
    return line;
  }));
  const box = element("div", "", { class: "scroll" });
  box.append(table);
  $("check-result").replaceChildren(element("p", worst > EXACT
    ? `The largest relative error is ${worst.toExponential(1)}: these gradients are wrong.`
    : `The largest relative error of six gradients of each parameter is ${worst.toExponential(1)}: backpropagation is right. The steepest of each:`), box);
  weights_changed();
}

// ---- layers: outputs, gradients, weights of each ----

const rgb = (name) => css(name).match(/[0-9a-f]{2}/gi).map((pair) => parseInt(pair, 16));
let shades; // the theme's colours of 0, -1 and 1
const norm = (values) => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));
const largest = (values) => values.reduce((most, v) => Math.max(most, Math.abs(v)), 0) || 1;

function tint(image, at, part) { // -1 is blue, 0 the page's ground, 1 orange
  const { zero, minus, plus } = shades, end = part < 0 ? minus : plus, depth = Math.min(1, Math.abs(part));
  for (let k = 0; k < 3; k++) image.data[4 * at + k] = zero[k] + depth * (end[k] - zero[k]);
  image.data[4 * at + 3] = 255;
}

function draw_layers() {
  shades = { zero: rgb("--ground"), minus: rgb("--minus"), plus: rgb("--plus") };
  objective_gradient(page.net, page.x, 1);
  const records = page.net.records(1), box = $("layers");
  if (box.children.length !== records.length || box.net !== page.net) make_layers(box, records);
  draw_flow(records);
  records.forEach(({ layer, y, dz }, i) => {
    const part = box.children[i];
    const units = part.querySelector(".units"), image = new ImageData(layer.n_out, 2);
    const most_y = largest(y), most_dz = largest(dz);
    for (let j = 0; j < layer.n_out; j++) {
      tint(image, j, y[j] / most_y);
      tint(image, layer.n_out + j, dz[j] / most_dz);
    }
    Object.assign(units, { width: layer.n_out, height: 2 });
    units.getContext("2d").putImageData(image, 0, 0);
    draw_weights(part.querySelector(".weights"), layer);
  });
}

function draw_flow(records) { // the norm of each layer's gradient, from the last layer to the first
  const norms = records.map(({ layer }) => norm(layer.dw)), most = Math.log10(Math.max(...norms) || 1);
  $("flow").replaceChildren(...records.flatMap(({ layer }, i) => {
    const badge = element("b", `${layer.name} ${digits(norms[i])}`);
    // four powers of ten below the largest norm the colour has faded out
    const depth = norms[i] ? clip(1 - (most - Math.log10(norms[i])) / 4, 0.05, 1) : 0;
    badge.style.background = `color-mix(in srgb, #f0a050 ${Math.round(100 * depth)}%, #ffffff)`;
    return i < records.length - 1 ? [badge, " \u2192 "] : [badge];
  }).reverse());
}

function make_layers(box, records) {
  box.net = page.net;
  $("unit").replaceChildren();
  box.replaceChildren(...records.map(({ layer }, i) => {
    const part = element("div", "", { class: "layer" }), title = element("h3", `${layer.name} `);
    const units = element("canvas", "", { class: "units", tabindex: 0, role: "slider", "aria-valuemin": 0,
      "aria-valuemax": layer.n_out - 1, "aria-valuenow": 0,
      "aria-label": `Outputs and gradients of the ${layer.n_out} units of ${layer.name}` });
    title.append(element("span", `${layer.n_in} \u2192 ${layer.n_out}, ${layer.activation}`));
    units.addEventListener("pointermove", (event) => show_unit(i, Math.floor(event.offsetX / units.clientWidth * layer.n_out), units));
    units.addEventListener("pointerdown", (event) => show_unit(i, Math.floor(event.offsetX / units.clientWidth * layer.n_out), units));
    units.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
      if (!move) return;
      event.preventDefault();
      show_unit(i, Number(units.getAttribute("aria-valuenow")) + move, units);
    });
    part.append(title, units, element("canvas", "", { class: "weights", role: "img" }));
    return part;
  }));
}

function show_unit(i, unit, units) { // the sum that a unit makes, its largest terms first
  objective_gradient(page.net, page.x, 1);
  const { layer, x, z, y, dz } = page.net.records(1)[i], j = clip(unit, 0, layer.n_out - 1);
  const terms = Array.from(x, (v, k) => [v, layer.w[k * layer.n_out + j], k]);
  terms.sort((a, b) => Math.abs(b[0] * b[1]) - Math.abs(a[0] * a[1]));
  const shown = terms.slice(0, TERMS), rest = terms.slice(TERMS).reduce((sum, [v, w]) => sum + v * w, 0);
  const product = ([v, w]) => `${digits(v)} \u00b7 ${digits(w)}`, [x_k, , k] = terms[0];
  const more = terms.length > TERMS ? ` + ${digits(rest)} of ${terms.length - TERMS} smaller terms` : "";
  units.setAttribute("aria-valuenow", j);
  $("unit").replaceChildren(
    element("p", `${layer.name}, unit ${j}: z = x \u00b7 w + b = ${shown.map(product).join(" + ")}${more} + ${digits(layer.b[j])} = ${digits(z[j])}; y = ${layer.activation}(z) = ${digits(y[j])}`),
    element("p", `backward: dL/dz = ${digits(dz[j])}; so of the first of these weights, w[${k},${j}], dL/dw = x \u00b7 dL/dz = ${digits(x_k)} \u00b7 ${digits(dz[j])} = ${digits(x_k * dz[j])}`),
  );
}

function draw_weights(canvas, { name, w, n_in, n_out }) { // pictures where a side of it is a picture
  const shape = data.image_shape, pixels = shape && shape[0] * shape[1] === n_features;
  const reads = pixels && n_in === n_features, makes = pixels && n_out === n_features;
  if (!reads && !makes) {
    const wide = n_out >= n_in, image = wide ? new ImageData(n_out, n_in) : new ImageData(n_in, n_out);
    const scale = largest(w);
    w.forEach((v, i) => tint(image, wide ? i : (i % n_out) * n_in + Math.floor(i / n_out), v / scale));
    show_image(canvas, image, `Weights of ${name}: ${n_in} inputs ${wide ? "down" : "across"}, ${n_out} units ${wide ? "across" : "down"}`);
    canvas.style.height = `${clip(8 * image.height, 32, 160)}px`;
    return;
  }
  const units = Math.min(PICTURES, reads ? n_out : n_in), [height, width] = shape;
  const columns = Math.min(units, innerWidth < 600 ? 8 : 16), rows = Math.ceil(units / columns);
  const image = new ImageData(columns * (width + 1) - 1, rows * (height + 1) - 1);
  for (let unit = 0; unit < units; unit++) {
    const at = Math.floor(unit / columns) * (height + 1) * image.width + (unit % columns) * (width + 1);
    const x = Float64Array.from({ length: n_features }, (_, i) => (reads ? w[i * n_out + unit] : w[unit * n_out + i]));
    const scale = largest(x);
    x.forEach((v, i) => tint(image, at + Math.floor(i / width) * image.width + (i % width), v / scale));
  }
  show_image(canvas, image, `Weights of ${name}: what ${units} units ${reads ? "look for" : "add to the picture"}; orange is positive, blue negative`);
}

function show_image(canvas, image, text) {
  Object.assign(canvas, { width: image.width, height: image.height });
  canvas.getContext("2d").putImageData(image, 0, 0);
  canvas.setAttribute("aria-label", text);
}

// ---- start ----

function listen() {
  const on = (id, event, then) => $(id).addEventListener(event, then);
  const map = $("map"), some = () => Math.floor(Math.random() * data.n_samples);
  map.addEventListener("pointermove", point_at);
  map.addEventListener("pointerdown", point_at);
  map.addEventListener("click", () => pick(nearest()));
  map.addEventListener("keydown", (event) => {
    const [axis, by] = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowDown: [1, -1], ArrowUp: [1, 1] }[event.key] ?? [];
    const unit = page.axes[axis];
    if (unit !== undefined) move_code(unit, at_share(unit, clip(share(unit, page.code[unit]) + 0.02 * by, 0, 1)));
    else if (event.key === "Enter") pick(nearest());
    else return;
    event.preventDefault();
  });
  [0, 1].forEach((axis) => on(`axis-${axis}`, "change", (event) => {
    page.axes[axis] = Number(event.target.value);
    changed("map");
  }));
  on("picked", "change", (event) => pick(Math.round(event.target.value) || 0));
  on("another", "click", () => pick(some()));
  on("clear", "click", empty_picture);
  const way_changed = () => {
    for (const id of ["way-from", "way-to"]) $(id).value = clip(Math.round($(id).value) || 0, 0, data.n_samples - 1);
    changed("way");
  };
  ["way-from", "way-to"].forEach((id) => on(id, "change", way_changed));
  on("way-t", "input", () => changed("way"));
  on("way-another", "click", () => {
    [$("way-from").value, $("way-to").value] = [some(), some()];
    way_changed();
  });
  on("play", "click", () => (player.playing ? pause() : play()));
  on("step", "click", () => { pause(); stepped(train_step(), true); });
  on("check", "click", () => { pause(); check(); });
  on("noise", "input", () => { $("noise-text").textContent = $("noise").value; });
  on("new-net", "click", () => start_with(new_network(), "A new net"));
  on("run-net", "click", () => start_with(run_network(), "The run's net"));
  for (const change of [matchMedia("(prefers-color-scheme: dark)"), window]) {
    change.addEventListener(change === window ? "resize" : "change", () => changed("map", "curve", "layers"));
  }
}

function explain() { // what this page lacks, and why
  const large = `The run's net has ${data.n_weights.toLocaleString("en")} weights, and a page holds at most ${data.largest_net.toLocaleString("en")}: ` +
    "it is left out. What you see is a new small net with random weights; press play below to train it.";
  if (!data.weights) $("notice").textContent = large;
  $("notice").hidden = Boolean(data.weights);
  $("run-net").disabled = !data.weights;
  if (!data.image_shape) {
    $("draw-help").textContent = "These samples are no pictures, so they stand here as numbers.";
    $("way-section").hidden = $("clear").hidden = true;
  }
  $("picked").max = $("way-from").max = $("way-to").max = data.n_samples - 1;
  $("activation").replaceChildren(...Object.keys(ACTIVATIONS).map((name) => new Option(name, name, false, name === data.layers[0].activation)));
  $("made").textContent = `Made by tinyae ${data.version}.`;
}

async function start() {
  await unpack_all();
  explain();
  make_legend();
  page.x = samples([0]);
  if (data.weights) start_with(run_network(), "The run's net");
  else start_with(new_network(), "A new net");
  draw_stale();
  if (data.image_shape) listen_to_drawing();
  listen();
  document.body.dataset.ready = "yes";
}

start();
