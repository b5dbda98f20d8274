// Shows what the thing under the pointer says of itself in `data-tip`.
const tip = document.getElementById("tip");
document.addEventListener("mousemove", (event) => {
  const said = event.target.dataset?.tip;
  tip.style.display = said ? "block" : "none";
  if (!said) return;
  tip.textContent = said;
  const left = event.clientX + 14, top = event.clientY + 14;
  tip.style.left = Math.min(left, innerWidth - tip.offsetWidth - 8) + "px";
  tip.style.top = (top + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 10 : top) + "px";
});
