// Local time beside UTC, where this browser's clock shows another one; the page says UTC by itself.
const local = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });
const beside = () => {
  for (const time of document.querySelectorAll("time[datetime]:not([data-local])")) {
    const at = new Date(time.dateTime);
    time.dataset.local = "";
    if (Number.isNaN(at.getTime()) || at.getTimezoneOffset() === 0) continue;
    const text = `${local.format(at)} here`;
    if (time.title) time.title += `, ${text}`;
    else time.append(` (${text})`);
  }
};
beside();
document.addEventListener("htmx:afterSwap", beside);
