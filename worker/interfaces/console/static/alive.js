// A page that changes by itself says so when nobody answers: what stands on it is old then.
document.addEventListener("htmx:afterRequest", (event) => {
  document.getElementById("silent").hidden = Boolean(event.detail.successful);
});
