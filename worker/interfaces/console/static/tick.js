// Ticks every row of this page at once. Without a script each row is ticked by itself.
const all = document.getElementById("tick-all");
if (all) {
  all.closest("label").hidden = false;
  all.addEventListener("change", () => {
    for (const one of document.querySelectorAll('input[name="one"]')) one.checked = all.checked;
  });
}
