// Shows the card of the point under the pointer or the keyboard's focus. The cards are <template>s further up in the page.
const card = document.getElementById("card"), figure = card.parentElement;
const show = (point) => {
  const filled = document.getElementById("card-" + point.dataset.card);
  if (!filled) return;
  card.replaceChildren(filled.content.cloneNode(true));
  card.style.display = "block";
  const p = point.getBoundingClientRect(), f = figure.getBoundingClientRect();
  const left = p.left - f.left + p.width / 2 + 16;
  card.style.left = Math.max(4, left + card.offsetWidth > f.width ? left - card.offsetWidth - 32 : left) + "px";
  card.style.top = Math.max(4, Math.min(p.top - f.top - 10, f.height - card.offsetHeight - 8)) + "px";
};
for (const point of document.querySelectorAll("[data-card]")) {
  point.addEventListener("mouseenter", () => show(point));
  point.addEventListener("focus", () => show(point));
  for (const end of ["mouseleave", "blur"]) point.addEventListener(end, () => { card.style.display = "none"; });
}
