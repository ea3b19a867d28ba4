// Two networks that differ by a kick, trained side by side. `engine` is the whole computation: it runs in a worker, which
// is made from its text, because a browser starts no worker from a local file. It draws nothing and reads no clock.
function engine() {
  const SLOPE = 0.1; // leaky ReLU
  const sizes = [2, 24, 24, 24, 24, 1];
  const count = sizes.slice(1).reduce((sum, wide, i) => sum + wide * (sizes[i] + 1), 0);

  // mulberry32: the same numbers from the same seed, on every machine
  function random(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  function normal(draw) {
    return Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
  }

  // two spirals, two turns each: x [N, 2] and labels 0 or 1; the same points for every seed
  function spirals(each = 150, noise = 0.02) {
    const draw = random(7), x = [], y = [];
    for (let i = 0; i < 2 * each; i++) {
      const label = i % 2, along = Math.sqrt((0.5 + (i >> 1)) / each), angle = along * 4 * Math.PI + label * Math.PI;
      x.push([along * Math.cos(angle) + noise * normal(draw), along * Math.sin(angle) + noise * normal(draw)]);
      y.push(label);
    }
    return { x, y };
  }

  function initial(seed) {
    const draw = random(1000 + seed), theta = new Float64Array(count);
    let at = 0;
    for (let l = 1; l < sizes.length; l++) {
      const spread = Math.sqrt(2 / sizes[l - 1]);
      for (let i = 0; i < sizes[l] * sizes[l - 1]; i++) theta[at++] = spread * normal(draw);
      at += sizes[l]; // biases start at 0
    }
    return theta;
  }

  const units = sizes.map((wide) => new Float64Array(wide)), faults = sizes.map((wide) => new Float64Array(wide));

  // the network's answer (a logit) at a point; `units` keeps what every layer says
  function answer(theta, point) {
    units[0][0] = point[0];
    units[0][1] = point[1];
    let at = 0;
    for (let l = 1; l < sizes.length; l++) {
      const wide = sizes[l - 1], below = units[l - 1], own = units[l], last = l === sizes.length - 1;
      const bias = at + sizes[l] * wide;
      for (let j = 0, row = at; j < sizes[l]; j++, row += wide) {
        let sum = theta[bias + j];
        for (let i = 0; i < wide; i++) sum += theta[row + i] * below[i];
        own[j] = last || sum > 0 ? sum : SLOPE * sum;
      }
      at = bias + sizes[l];
    }
    return units[sizes.length - 1][0];
  }

  const share = (logit) => 1 / (1 + Math.exp(-logit));
  const cross = (logit, label) => Math.log1p(Math.exp(-Math.abs(logit))) + Math.max(label ? -logit : logit, 0);

  // one step of SGD on a batch
  const slope = new Float64Array(count);
  function step(theta, data, batch, rate) {
    slope.fill(0);
    for (const n of batch) {
      const top = sizes.length - 1;
      faults[top][0] = (share(answer(theta, data.x[n])) - data.y[n]) / batch.length;
      let end = count;
      for (let l = top; l > 0; l--) {
        const wide = sizes[l - 1], below = units[l - 1], bias = end - sizes[l], at = bias - sizes[l] * wide;
        const under = faults[l - 1].fill(0);
        for (let j = 0, row = at; j < sizes[l]; j++, row += wide) {
          const fault = faults[l][j];
          slope[bias + j] += fault;
          for (let i = 0; i < wide; i++) {
            slope[row + i] += fault * below[i];
            under[i] += fault * theta[row + i];
          }
        }
        for (let i = 0; i < wide; i++) if (below[i] < 0) under[i] *= SLOPE;
        end = at;
      }
    }
    for (let p = 0; p < count; p++) theta[p] -= rate * slope[p];
  }

  function loss(theta, data) {
    return data.x.reduce((sum, point, n) => sum + cross(answer(theta, point), data.y[n]), 0) / data.x.length;
  }

  function accuracy(theta, data) {
    return data.x.filter((point, n) => answer(theta, point) > 0 === (data.y[n] === 1)).length / data.x.length;
  }

  const norm = (a) => Math.sqrt(a.reduce((sum, v) => sum + v * v, 0));
  const apart = (a, b) => norm(a.map((v, p) => v - b[p]));

  // loss on the straight line between two networks, and how far it rises above the line between its ends
  function path(a, b, data, points = 21) {
    const along = [...Array(points).keys()].map((k) => k / (points - 1));
    const losses = along.map((t) => loss(a.map((v, p) => (1 - t) * v + t * b[p]), data));
    const rise = losses.map((value, k) => value - (1 - along[k]) * losses[0] - along[k] * losses[points - 1]);
    return { losses, barrier: Math.max(...rise) };
  }

  // where in the square the two answer otherwise: 0 and 1 both the same class, 2 they differ
  function answers(a, b, side = 48) {
    const cells = [];
    for (let row = 0; row < side; row++)
      for (let column = 0; column < side; column++) {
        const point = [((column + 0.5) / side) * 2.6 - 1.3, 1.3 - ((row + 0.5) / side) * 2.6];
        const one = answer(a, point) > 0, other = answer(b, point) > 0;
        cells.push(one !== other ? 2 : one ? 1 : 0);
      }
    return cells;
  }

  // a parent and its twin, kicked after `when` percent of training; `tell` hears of it a few times on the way
  function twins({ seed, size, when, rate, steps = 4000, batch = 32 }, tell = () => {}) {
    const data = spirals(), theta = initial(seed), start = theta.slice(), order = random(5000 + seed);
    const at = Math.round((when / 100) * steps), looks = 60, track = [];
    let twin = null, own = theta.slice();
    for (let t = 0; t <= steps; t++) {
      if (t === at) {
        const draw = random(9000 + seed), push = theta.map(() => normal(draw)), long = (size * norm(start)) / norm(push);
        twin = theta.map((v, p) => v + long * push[p]);
      }
      if (t >= steps * (track.length / looks) ** 2) { // often at first, when most happens
        track.push([t / steps, twin ? apart(theta, twin) : null, apart(theta, start)]);
        tell({ seed, track, done: t / steps });
      }
      if (t === steps) break;
      const some = Array.from({ length: batch }, () => Math.floor(order() * data.x.length));
      const now = rate * (1 - t / steps); // falls to 0, so that the end is an end
      step(theta, data, some, now);
      if (twin) step(twin, data, some, now);
    }
    const learned = Math.min(accuracy(theta, data), accuracy(twin, data));
    return { seed, track, learned, ...path(theta, twin, data), cells: answers(theta, twin), identical: apart(theta, twin) === 0 };
  }

  return { twins, spirals };
}

// --- page -----------------------------------------------------------------------------------------------------------

const APART = 0.05; // a barrier above this is another valley, as in the notebooks
const LEARNED = 0.95;
const SEEDS = 5;

const box = document.querySelector("#kick");
const settings = box.querySelector("form");
const cards = box.querySelector(".cards");
const tried = box.querySelector("tbody");
const status = box.querySelector("output");
const tally = new Map(); // what came out so far, by settings
let first = 1, workers = [];

const picture = (inside, label) => `<svg viewBox="0 0 150 100" role="img" aria-label="${label}">${inside}</svg>`;
const numbers = (point) => point.map((value) => value.toFixed(1)).join(" ");
const line = (points, style = "") => (points.length ? `<path class="${style}" d="M${points.map(numbers).join("L")}"/>` : "");
const axes = '<path class="axis" d="M28 4V82H148"/>';
const words = (x, y, text, style = "") => `<text class="${style}" x="${x}" y="${y}">${text}</text>`;
const short = (value) => (value === 0 ? "0" : value >= 0.01 ? value.toPrecision(2) : value.toExponential(0));

// distance of twin and parent, on a logarithmic axis, against the square root of time; dashed: of the parent from its start
function distances(track) {
  const place = ([time, far]) => [28 + 120 * Math.sqrt(time), 82 - 7.6 * (Math.log10(Math.max(far, 1e-8)) + 8)];
  const apart = track.filter(([, far]) => far !== null).map(([time, far]) => place([time, far]));
  const moved = track.filter(([time]) => time > 0).map(([time, , far]) => place([time, far]));
  const ticks = [-8, -4, 0].map((ten) => words(24, place([0, 10 ** ten])[1] + 3, `1e${ten}`, "left")).join("");
  const last = track.at(-1)[1];
  const label = last === null ? "not kicked yet" : `distance of the twins: ${short(last)}`;
  const times = words(28, 95, "start") + words(148, 95, "end", "left");
  return picture(axes + ticks + times + line(moved, "dashed") + line(apart), label);
}

// training loss on the way from the parent to its twin; dashed: what no barrier would be
function between(losses, barrier) {
  const top = Math.max(0.2, ...losses);
  const place = (value, k) => [28 + (120 * k) / (losses.length - 1), 82 - (76 * value) / top];
  const ends = [place(losses[0], 0), place(losses.at(-1), losses.length - 1)];
  const ticks = words(24, 10, top.toFixed(1), "left") + words(24, 84, "0", "left");
  const names = words(28, 95, "parent") + words(148, 95, "twin", "left");
  const label = `loss between the twins, barrier ${barrier.toFixed(2)}`;
  return picture(axes + ticks + names + line(ends, "dashed") + line(losses.map(place)), label);
}

// the square of inputs: two pale colours where the twins answer alike, dark where they do not
function disagreement(canvas, cells) {
  const side = Math.sqrt(cells.length), brush = canvas.getContext("2d");
  canvas.width = canvas.height = side;
  cells.forEach((cell, k) => {
    brush.fillStyle = ["#ffd9b3", "#b9d8f5", "#401040"][cell];
    brush.fillRect(k % side, Math.floor(k / side), 1, 1);
  });
  const differ = cells.filter((cell) => cell === 2).length / cells.length;
  canvas.setAttribute("aria-label", `the twins answer otherwise on ${(100 * differ).toFixed(1)} % of the square`);
}

function verdict({ learned, identical, barrier }) {
  if (learned < LEARNED) return ["failed", `did not learn: ${(100 * learned).toFixed(0)} % right`];
  if (identical) return ["same", "identical to the last bit"];
  const [kind, told] = barrier > APART ? ["apart", "another valley"] : ["same", "same valley"];
  return [kind, `${told}: barrier ${barrier.toFixed(2)}`];
}

function finish(card, result) {
  const [kind, told] = verdict(result);
  card.dataset.verdict = kind;
  card.dataset.identical = result.identical;
  card.querySelector(".verdict").textContent = told;
  card.querySelector(".far").innerHTML = distances(result.track);
  card.querySelector(".path").innerHTML = between(result.losses, result.barrier);
  disagreement(card.querySelector("canvas"), result.cells);
  return kind;
}

// what has been tried so far, counted over all pairs and not only the last five
function count(key, kinds) {
  const row = tally.get(key) || { pairs: 0, apart: 0, same: 0, failed: 0 };
  for (const kind of kinds) row[kind]++;
  row.pairs += kinds.length;
  tally.set(key, row);
  const cells = (r) => [r.pairs, r.apart, r.same, r.failed].map((many) => `<td>${many}</td>`).join("");
  tried.innerHTML = [...tally].map(([name, r]) => `<tr><th scope="row">${name}</th>${cells(r)}</tr>`).join("");
  box.querySelector(".tried").hidden = false;
}

function run(event) {
  event.preventDefault();
  for (const worker of workers) worker.terminate();
  const wanted = Object.fromEntries([...new FormData(settings)].map(([name, value]) => [name, Number(value)]));
  const key = `kick ${wanted.size || "of 0 (control)"} after ${wanted.when} %, learning rate ${wanted.rate}`;
  const kinds = [];
  const answer = ({ data }) => postMessage({ result: twins(data, (look) => postMessage({ look })) });
  const link = URL.createObjectURL(new Blob([`const { twins } = (${engine})(); onmessage = ${answer};`]));
  cards.innerHTML = "";
  status.textContent = `Training seeds ${first} to ${first + SEEDS - 1} ...`;
  workers = Array.from({ length: SEEDS }, (_, k) => {
    const card = box.querySelector("template").content.firstElementChild.cloneNode(true);
    card.querySelector(".name").textContent = `seed ${first + k}`;
    card.setAttribute("aria-label", `seed ${first + k}`);
    cards.append(card);
    const worker = new Worker(link);
    worker.onmessage = ({ data }) => {
      if (data.look) {
        card.querySelector(".far").innerHTML = distances(data.look.track);
        card.querySelector(".verdict").textContent = `${Math.round(100 * data.look.done)} % trained`;
        return;
      }
      kinds.push(finish(card, data.result));
      if (kinds.length < SEEDS) return;
      const many = (kind) => kinds.filter((other) => other === kind).length;
      const valleys = `${many("apart")} ended in different valleys, ${many("same")} in the same`;
      status.textContent = `Of ${SEEDS} pairs ${valleys}; ${many("failed")} did not learn.`;
      count(key, kinds);
    };
    worker.postMessage({ seed: first + k, ...wanted });
    return worker;
  });
  first += SEEDS;
}

settings.addEventListener("submit", run);
settings.hidden = false;
