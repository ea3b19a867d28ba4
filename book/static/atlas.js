// The example atlas: a thumbnail for every example, from easy to hard, and what happened to the one that is chosen.
const atlas = JSON.parse(document.querySelector("#atlas-data").textContent);
const place = document.querySelector("#atlas");
const form = place.querySelector("form");
const thumbs = place.querySelector(".thumbs");
const detail = place.querySelector(".detail");
const FAMILIES = ["MLP", "CNN", "GRU"];
const DASHES = ["", "6 3", "2 3"];

// a signal as a line, an image as squares
function drawn({ shape }, input) {
  const low = Math.min(...input), high = Math.max(...input), level = (v) => (v - low) / (high - low);
  if (shape.length < 3) {
    const points = input.map((v, k) => `${((100 * k) / (input.length - 1)).toFixed(1)} ${(46 - 42 * level(v)).toFixed(1)}`);
    return `<svg viewBox="0 0 100 50" aria-hidden="true"><path class="signal" d="M${points.join("L")}"/></svg>`;
  }
  const wide = shape.at(-1);
  const squares = input.map((v, k) => {
    return `<rect x="${k % wide}" y="${Math.floor(k / wide)}" width="1.03" height="1.03" opacity="${level(v).toFixed(2)}"/>`;
  });
  return `<svg viewBox="0 0 ${wide} ${shape.at(-2)}" aria-hidden="true">${squares.join("")}</svg>`;
}

// the probability of the label while training, a line a family
function curves({ curves }) {
  const x = (k, all) => 38 + (254 * k) / (all.length - 1), y = (v) => 110 - v;
  const lines = FAMILIES.map((family, i) => {
    const points = curves[family].map((v, k, all) => `${x(k, all).toFixed(1)} ${y(v)}`);
    return `<path stroke-dasharray="${DASHES[i]}" d="M${points.join("L")}"/>`;
  });
  const ticks = [0, 50, 100].map((v) => `<text class="left" x="35" y="${y(v) + 3}">${v} %</text>`);
  const ends = '<text x="38" y="123">start</text><text class="left" x="292" y="123">end of training</text>';
  const told = FAMILIES.map((family) => `${family} ${curves[family].at(-1)} %`).join(", ");
  return `<svg viewBox="0 0 300 128" role="img" aria-label="probability of the label at the end: ${told}">
    <path class="axis" d="M38 8V110H292"/>${ticks.join("")}${ends}${lines.join("")}</svg>`;
}

const key = (i) => `<svg viewBox="0 0 30 6" aria-hidden="true"><path stroke-dasharray="${DASHES[i]}" d="M0 3H30"/></svg>`;
const legend = FAMILIES.map((family, i) => `<span>${key(i)} ${family}</span>`).join(" ");

function show(set, k) {
  const example = set.examples[k], runs = `of ${set.seeds} runs`;
  [...thumbs.children].forEach((button, i) => button.setAttribute("aria-pressed", i === k));
  const bar = (rank) => `<span class="bar"><span style="width:${rank}%"></span></span> ${rank} %`;
  const bars = FAMILIES.map((family) => `<tr><th scope="row">${family}</th><td>${bar(example.ranks[family])}</td></tr>`);
  detail.innerHTML = `<div class="large">${drawn(set, example.input)}<p>Its label is <b>${example.label}</b>. One weight of
    the MLP, moved at the start, turned its answer over in <b>${example.turned}</b> ${runs}. Without that, the answer was wrong
    in ${example.wrong}.</p></div>
    <div><p><b>Probability of its label while training</b></p><p class="legend">${legend}</p>${curves(example)}</div>
    <div><p><b>How hard it is</b></p><p>Harder than this share of all test examples:</p><table>${bars.join("")}</table></div>`;
}

function open() {
  const set = atlas[form.elements.set.value];
  const buttons = set.examples.map((example, k) => {
    const button = Object.assign(document.createElement("button"), { type: "button", innerHTML: drawn(set, example.input) });
    button.setAttribute("aria-label", `example ${k + 1}, label ${example.label}`);
    button.addEventListener("click", () => show(set, k));
    return button;
  });
  thumbs.replaceChildren(...buttons);
  show(set, 0);
}

form.elements.set.innerHTML = atlas.map((set, k) => `<option value="${k}">${set.title}</option>`).join("");
form.addEventListener("input", open);
form.addEventListener("submit", (event) => event.preventDefault());
form.hidden = false;
open();
