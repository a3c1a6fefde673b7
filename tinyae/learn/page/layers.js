// What a sample does in the net: outputs, gradients and weights of each layer, one unit's sum.

const PICTURES = 32, TERMS = 5; // of a layer's weights, and of a sum: so many are shown
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
    title.append(element("span", `${layer.n_in} \u2192 ${layer.n_out}, ${layer.shown}`));
    for (const kind of ["pointermove", "pointerdown"]) {
      units.addEventListener(kind, (event) => {
        show_unit(i, Math.floor(event.offsetX / units.clientWidth * layer.n_out), units);
      });
    }
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
    element("p", `${layer.name}, unit ${j}: z = x \u00b7 w + b = ${shown.map(product).join(" + ")}${more} + ` +
      `${digits(layer.b[j])} = ${digits(z[j])}; y = ${layer.activation}(z) = ${digits(y[j])}`),
    element("p", `backward: dL/dz = ${digits(dz[j])}; so of the first of these weights, w[${k},${j}], ` +
      `dL/dw = x \u00b7 dL/dz = ${product([x_k, dz[j]])} = ${digits(x_k * dz[j])}`),
  );
}

function draw_weights(canvas, { name, w, n_in, n_out }) { // pictures where a side of it is a picture
  const shape = data.image_shape, pixels = shape && shape[0] * shape[1] === n_features;
  const reads = pixels && n_in === n_features, makes = pixels && n_out === n_features;
  if (!reads && !makes) {
    const wide = n_out >= n_in, image = wide ? new ImageData(n_out, n_in) : new ImageData(n_in, n_out);
    const scale = largest(w);
    w.forEach((v, i) => tint(image, wide ? i : (i % n_out) * n_in + Math.floor(i / n_out), v / scale));
    const [inputs, units] = wide ? ["down", "across"] : ["across", "down"];
    show_image(canvas, image, `Weights of ${name}: ${n_in} inputs ${inputs}, ${n_out} units ${units}`);
    canvas.style.height = `${clip(8 * image.height, 32, 160)}px`;
    return;
  }
  const units = Math.min(PICTURES, reads ? n_out : n_in), [height, width] = shape;
  const columns = Math.min(units, innerWidth < 600 ? 8 : 16), rows = Math.ceil(units / columns);
  const image = new ImageData(columns * (width + 1) - 1, rows * (height + 1) - 1);
  for (let unit = 0; unit < units; unit++) {
    const at = Math.floor(unit / columns) * (height + 1) * image.width + (unit % columns) * (width + 1);
    const x = new Float64Array(n_features);
    for (let i = 0; i < n_features; i++) x[i] = reads ? w[i * n_out + unit] : w[unit * n_out + i];
    const scale = largest(x);
    x.forEach((v, i) => tint(image, at + Math.floor(i / width) * image.width + (i % width), v / scale));
  }
  const what = reads ? "look for" : "add to the picture";
  show_image(canvas, image, `Weights of ${name}: what ${units} units ${what}; orange is positive, blue negative`);
}

function show_image(canvas, image, text) {
  Object.assign(canvas, { width: image.width, height: image.height });
  canvas.getContext("2d").putImageData(image, 0, 0);
  canvas.setAttribute("aria-label", text);
}
