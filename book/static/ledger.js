// The ledger's filters: they hide and sort rows that are already there, and keep the choice in the address.
const form = document.querySelector("#filters");
const body = document.querySelector("#ledger tbody");
const rows = [...body.rows].map((row) => ({ row, text: row.textContent.toLowerCase(), ...row.dataset }));
const exact = ["paper", "notebook", "verdict", "kind", "scope"];
const number = (entry, name) => (name in entry ? Number(entry[name]) : -Infinity);

function show() {
  const wanted = Object.fromEntries([...new FormData(form)].filter(([, value]) => value));
  const words = (wanted.words || "").toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const entry of rows) {
    const fits = exact.every((name) => !wanted[name] || entry[name] === wanted[name]);
    entry.row.hidden = !(fits && words.every((word) => entry.text.includes(word)));
    count += !entry.row.hidden;
  }
  const by = wanted.sort;
  const order = by ? [...rows].sort((a, b) => number(b, by) - number(a, by)) : rows;
  body.append(...order.map((entry) => entry.row));
  form.querySelector("output").textContent = `${count} of ${rows.length} claims`;
  return new URLSearchParams(wanted).toString();
}

function keep() {
  const query = show();
  history.replaceState(null, "", query ? `?${query}` : location.pathname);
}

for (const [name, value] of new URLSearchParams(location.search)) if (form.elements[name]) form.elements[name].value = value;
form.addEventListener("input", keep);
form.addEventListener("reset", () => setTimeout(keep));
form.addEventListener("submit", (event) => event.preventDefault());
form.hidden = false;
show();
