// What can be touched: the map of codes, one sample, the way between two samples.

// ---- map ----

function place(position, width, height) { // of a training sample, in pixels
  const k = page.net.n_code, [across, up] = page.axes;
  const golden = ((position * 0.6180339887) % 1) * 0.8 + 0.1; // spreads the points of a line evenly
  const y = k > 1 ? share(up, page.codes[position * k + up]) : golden;
  return [width * share(across, page.codes[position * k + across]), height * (1 - y)];
}

const share = (unit, value) => (value - page.spans[unit][0]) / (page.spans[unit][1] - page.spans[unit][0]);
const at_share = (unit, part) => page.spans[unit][0] + part * (page.spans[unit][1] - page.spans[unit][0]);

function draw_map() {
  const [pen, width, height] = fit($("map"), page.net.n_code > 1 ? 1 : 0.35), k = page.net.n_code;
  pen.globalAlpha = 0.75;
  for (let i = 0; i < page.codes.length / k; i++) {
    pen.fillStyle = data.labels ? class_colour(data.labels[i]) : css("--accent");
    pen.beginPath();
    pen.arc(...place(i, width, height), 2.5, 0, 7);
    pen.fill();
  }
  const [across, up] = page.axes;
  const x = width * share(across, page.code[across]);
  const y = height * (k > 1 ? 1 - share(up, page.code[up]) : 0.5);
  pen.globalAlpha = 1;
  for (const [colour, line] of [[css("--ground"), 5], [css("--ink"), 2]]) {
    Object.assign(pen, { strokeStyle: colour, lineWidth: line });
    pen.beginPath();
    pen.arc(x, y, 8, 0, 7);
    pen.stroke();
  }
}

function draw_code() {
  const text = Array.from(page.code, digits).join(", ");
  show("decoded", page.net.decode(page.code), `What the decoder makes of the code ${text}`);
  $("code-text").textContent = page.code.length > 4 ? `${page.code.length} numbers` : text;
  for (const slider of $("sliders").querySelectorAll("input")) {
    const value = page.code[slider.dataset.unit], [low, high] = page.spans[slider.dataset.unit];
    Object.assign(slider, { min: low, max: high, step: (high - low) / 500, value });
    slider.nextElementSibling.textContent = digits(value);
  }
}

function move_code(unit, value) {
  page.code[unit] = value;
  changed("map", "code");
}

function point_at(event) { // a pointer over the map
  const box = $("map").getBoundingClientRect(), [across, up] = page.axes;
  const parts = [(event.clientX - box.left) / box.width, 1 - (event.clientY - box.top) / box.height];
  move_code(across, at_share(across, clip(parts[0], 0, 1)));
  if (page.net.n_code > 1) move_code(up, at_share(up, clip(parts[1], 0, 1)));
}

function nearest() { // the training sample nearest to the code, as the map shows it
  const k = page.net.n_code;
  let best = 0, least = Infinity;
  for (let i = 0; i < page.codes.length / k; i++) {
    const gap = (unit) => share(unit, page.codes[i * k + unit]) - share(unit, page.code[unit]);
    const distance = page.axes.reduce((sum, unit) => sum + gap(unit) ** 2, 0);
    if (distance < least) [best, least] = [i, distance];
  }
  return best;
}

function make_axes() {
  page.axes.forEach((unit, axis) => {
    const options = page.spans.map((_, i) => new Option(`unit ${i}`, i, false, i === unit));
    $(`axis-${axis}`).replaceChildren(...options);
  });
  $("axis-1-label").hidden = page.net.n_code < 2;
}

function make_sliders(units) {
  $("sliders").replaceChildren(...units.map((unit) => {
    const label = element("label", `unit ${unit}`);
    const words = `unit ${unit} of the code`;
    const slider = element("input", "", { type: "range", "data-unit": unit, "aria-label": words });
    slider.addEventListener("input", () => move_code(unit, Number(slider.value)));
    label.append(slider, element("output"));
    return label;
  }));
  const rest = page.net.n_code - units.length;
  $("sliders-rest").hidden = !rest;
  $("sliders-rest").textContent = `${rest} further units, those that vary least, have no slider.`;
}

function make_legend() {
  const { label_names: names } = data, n = names.length;
  if (!data.labels) return;
  const shown = n <= 20 ? names.map((_, k) => k) : [0, n >> 1, n - 1];
  $("legend").replaceChildren(...shown.map((k) => {
    const key = element("span"), dot = element("i");
    dot.style.background = class_colour(k);
    key.append(dot, names[k]);
    return key;
  }));
}

// ---- one sample ----

function draw_sample() {
  const { net, x } = page, y = net.reconstruct(x), known = page.picked !== null;
  const text = known ? `training sample ${page.picked}${class_of(page.picked)}` : "what you drew";
  show("sample", x, text);
  show("reconstruction", y, `The reconstruction of ${text}`);
  const error = x.reduce((sum, v, i) => sum + (Number.isNaN(v) ? 0 : (v - y[i]) ** 2), 0);
  $("sample-text").textContent = text;
  $("sample-error").textContent = digits(error) + (memory.scaling ? ", on the scale of the net" : "");
  $("sample-code").textContent = Array.from(net.encode(x), digits).join("  ");
  if (page.brush) {
    const pen = $("sample").firstChild.getContext("2d");
    pen.fillStyle = css("--plus");
    pen.fillRect(page.brush[0], page.brush[1], 1, 1);
  }
}

function draw_at(column, row) { // a round brush, its edge one pixel wide
  const [height, width, channels = 1] = data.image_shape, radius = 0.04 * Math.max(height, width);
  page.x.forEach((v, i) => {
    const pixel = Math.floor(i / channels);
    const distance = Math.hypot((pixel % width) - column, Math.floor(pixel / width) - row);
    const ink = clip(radius + 0.5 - distance, 0, 1), raw = data.low + ink * (data.high - data.low);
    if (ink > 0) page.x[i] = Math.max(v, as_read(raw, i));
  });
  page.picked = null;
  sample_changed();
}

function empty_picture() {
  page.x = page.x.map((_, i) => as_read(data.low, i));
  page.picked = null;
  sample_changed();
}

function listen_to_drawing() {
  const canvas = $("sample").firstChild, [height, width] = data.image_shape;
  Object.assign(canvas, { tabIndex: 0 });
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-describedby", "draw-help");
  let last = null;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const [across, down] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    return [across * width - 0.5, down * height - 0.5];
  };
  const line = (event) => { // also between two places of a fast pointer
    const [column, row] = at(event), [c0, r0] = last ?? [column, row];
    const steps = Math.max(1, Math.ceil(Math.hypot(column - c0, row - r0)));
    for (let k = 1; k <= steps; k++) {
      draw_at(c0 + (column - c0) * k / steps, r0 + (row - r0) * k / steps);
    }
    last = [column, row];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    if (page.picked !== null) empty_picture();
    last = null;
    line(event);
  });
  canvas.addEventListener("pointermove", (event) => event.buttons && line(event));
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const most = [width - 1, height - 1];
  canvas.addEventListener("keydown", (event) => {
    page.brush ??= [width >> 1, height >> 1];
    const move = moves[event.key];
    if (move) page.brush = page.brush.map((v, i) => clip(v + move[i], 0, most[i]));
    else if (event.key === " ") draw_at(...page.brush);
    else if (event.key === "Delete") empty_picture();
    else return;
    event.preventDefault();
    changed("sample");
  });
  canvas.addEventListener("blur", () => { page.brush = null; changed("sample"); });
}

// ---- the way between two samples ----

function way_at(t) { // -> [blend of the pixels, decoded blend of the codes]
  const [from, to] = ["way-from", "way-to"].map((id) => samples([Number($(id).value)]));
  const mix = (a, b) => a.map((v, i) => (1 - t) * v + t * b[i]);
  return [mix(from, to), page.net.decode(mix(page.net.encode(from), page.net.encode(to)))];
}

function draw_way() {
  if (!data.image_shape) return;
  const [height, width] = data.image_shape, canvas = $("way"), t = Number($("way-t").value);
  Object.assign(canvas, { width: WAY_STEPS * (width + 1) - 1, height: 2 * height + 1 });
  const image = new ImageData(canvas.width, canvas.height);
  for (let k = 0; k < WAY_STEPS; k++) {
    way_at(k / (WAY_STEPS - 1)).forEach((x, row) => {
      paint(image, row * (height + 1) * image.width + k * (width + 1), x);
    });
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  const ends = ["way-from", "way-to"].map((id) => `${$(id).value}${class_of($(id).value)}`);
  const text = `training samples ${ends[0]} and ${ends[1]}`;
  const words = `${WAY_STEPS} steps between ${text}: above blends of pixels, below of codes`;
  canvas.setAttribute("aria-label", words);
  $("way-text").textContent = `${Math.round(100 * t)} %`;
  const [blend, middle] = way_at(t);
  show("blend", blend, `Blend of the pixels of ${text}`);
  show("middle", middle, `Decoded blend of the codes of ${text}`);
}
