// Pictures open large where they stand; Escape closes them. Without scripts they are links to themselves.
const dialog = document.createElement("dialog");
dialog.id = "zoom";
dialog.addEventListener("click", () => dialog.close());
document.body.append(dialog);

for (const link of document.querySelectorAll("a.image-reference")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    const large = link.querySelector("img").cloneNode();
    large.removeAttribute("style");
    const close = Object.assign(document.createElement("button"), { textContent: "close", autofocus: true });
    dialog.replaceChildren(large, close);
    dialog.setAttribute("aria-label", large.alt);
    dialog.showModal();
  });
}
