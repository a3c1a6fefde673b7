// Training in the page, and the page's start.

const BATCH = 32, CHECKED = 8; // samples of a step and of a check
const FRAME = 24, FOLLOW = 400; // milliseconds of steps a frame, and until all views follow
const EXACT = 1e-4; // a larger relative error of a gradient is a mistake
const unstarted = () => ({ random: new Random(2), order: [], epoch: 0, losses: [], held_out: [] });
const player = { adam: null, playing: false, followed: 0, ...unstarted() };
views.curve = draw_curve;
views.layers = draw_layers;

function new_network() { // another small net, of random weights
  const hidden = Number($("hidden").value), code = clip(Math.round($("n-code").value) || 1, 1, 32);
  const activation = $("activation").value, output = data.layers[data.layers.length - 1].activation;
  $("n-code").value = code;
  const layer = (name, n_in, n_out, act) => ({ name, n_in, n_out, activation: act });
  const net = new Network([
    layer("encoder.0", n_features, hidden, activation),
    layer("encoder.1", hidden, code, $("code-activation").value),
    layer("decoder.0", code, hidden, activation),
    layer("decoder.1", hidden, n_features, output),
  ], 2, data.loss, data.groups, memory.fill);
  return initialize(net, new Random(1));
}

function start_with(net, name) { // shows a net and begins its training at step 0
  pause();
  Object.assign(player, { adam: new Adam(net), ...unstarted() });
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
  const noise = std ? new Float64Array(n * net.n_code).map(() => std * player.random.normal()) : null;
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
  if (held_out.length && data.n_held_out) {
    parts.push(`squared error of a held-out sample ${digits(held_out[held_out.length - 1][1])}`);
  }
  if (!good) {
    parts.push("the loss is no longer a finite number, so this step was not taken: " +
      "choose a smaller learning rate and make a new net");
  }
  $("progress").textContent = parts.join("; ");
}

function draw_curve() {
  const [pen, width, height] = fit($("curve"), innerWidth < 600 ? 0.5 : 0.25), { losses, held_out } = player;
  const errors = held_out.filter(([, error]) => error > 0), steps = losses.length;
  const logs = [...losses, ...errors.map(([, error]) => error)].filter((v) => v > 0).map(Math.log10);
  const course = steps ? `${steps} steps, from ${digits(losses[0])} to ${digits(losses[steps - 1])}` : "no step yet";
  $("curve").setAttribute("aria-label", `Loss curve: ${course}`);
  Object.assign(pen, { font: "12px system-ui, sans-serif", textBaseline: "middle" });
  Object.assign(pen, { fillStyle: css("--muted"), strokeStyle: css("--line") });
  if (!logs.length) return pen.fillText("no step yet", 12, height / 2);
  const low = logs.reduce((a, b) => Math.min(a, b)) - 0.05;
  const high = logs.reduce((a, b) => Math.max(a, b)) + 0.05;
  const ticks = high - low > 0.8 ? [1, 2, 5] : [1, 2, 3, 4, 5, 6, 7, 8, 9];
  const left = 48, across = (step) => left + (width - left - 8) * step / steps;
  const up = (value) => 10 + (height - 20) * (high - Math.log10(value)) / (high - low);
  for (let power = Math.floor(low); power <= high; power++) {
    for (const tick of ticks.map((part) => part * 10 ** power)) {
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
  const heads = ["parameter", "backpropagation", "finite differences", "relative error"];
  head.append(...heads.map((text) => element("th", text)));
  table.append(head, ...rows.map(({ name, gradient, numeric, error }) => {
    const line = element("tr"), beside = Number.isNaN(numeric) ? "at a kink" : numeric.toPrecision(6);
    const cells = [name, gradient.toPrecision(6), beside, error.toExponential(1)];
    line.append(...cells.map((text) => element("td", text)));
    if (error > EXACT) line.lastChild.className = "bad";
    return line;
  }));
  const box = element("div", "", { class: "scroll" });
  box.append(table);
  const verdict = worst > EXACT ? "these gradients are wrong" : "backpropagation is right";
  $("check-result").replaceChildren(element("p", "The largest relative error of six gradients of each parameter " +
    `is ${worst.toExponential(1)}: ${verdict}. The steepest of each:`), box);
  weights_changed();
}

// ---- start ----

function listen() {
  const on = (id, event, then) => $(id).addEventListener(event, then);
  const map = $("map"), some = () => Math.floor(Math.random() * data.n_samples);
  map.addEventListener("pointermove", point_at);
  map.addEventListener("pointerdown", point_at);
  map.addEventListener("click", () => pick(nearest()));
  map.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowDown: [1, -1], ArrowUp: [1, 1] };
    const [axis, by] = moves[event.key] ?? [], unit = page.axes[axis]; // of one unit there is no "up"
    if (unit !== undefined) {
      move_code(unit, at_share(unit, clip(share(unit, page.code[unit]) + 0.02 * by, 0, 1)));
    } else if (event.key === "Enter") pick(nearest());
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
    for (const end of [$("way-from"), $("way-to")]) {
      end.value = clip(Math.round(end.value) || 0, 0, data.n_samples - 1);
    }
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
  $("notice").textContent = `The run's net has ${count(data.n_weights)} weights, and a page holds at most ` +
    `${count(data.largest_net)}: it is left out. What you see is a new small net with random weights; press play ` +
    "below to train it.";
  $("notice").hidden = Boolean(data.weights);
  $("run-net").disabled = !data.weights;
  const notes = [];
  if (data.loss === "bce") {
    notes.push("The loss, cross-entropy, is not 0 at its best: of a grey of 0.5 log 2 is left, of 0 and 1 nothing.");
  }
  if (data.family) {
    notes.push(`The run's net was trained as a ${data.family} autoencoder, with ` +
      `${data.in_training || "what that family adds"}; training here leaves that out.`);
  }
  $("training-notes").textContent = notes.join(" ");
  if (!data.image_shape) {
    $("draw-help").textContent = "These samples are no pictures, so they stand here as numbers.";
    $("way-section").hidden = $("clear").hidden = true;
  }
  $("picked").max = $("way-from").max = $("way-to").max = data.n_samples - 1;
  $("activation").replaceChildren(...Object.keys(ACTIVATIONS).map((name) => new Option(name)));
  $("activation").value = data.layers[0].activation;
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

start().catch((error) => {
  $("facts").textContent = `This page needs a browser of 2023 or later (${error.message}).`;
  throw error;
});
