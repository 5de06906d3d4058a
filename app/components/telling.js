// How our components tell the app something. Between the click on a link to another page and that page's arrival Streamlit
// would send it with the page that was left, and take the reader back; and until the component itself stands on the new page,
// the app has nobody who listens. So it waits until both are there.
const PATIENCE_MS = 10_000; // a page that has not come by then is not waited for
const untold = new Map(); // event -> how to tell what it said last
let turning = { to: null, since: 0 }, clock = 0, at = null;

document.addEventListener("click", (event) => {
  const link = event.target.closest?.('nav a, a[data-testid^="stPageLink"]');
  const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey; // a tab or window of its own
  if (link && !elsewhere) turning = { to: link.href, since: performance.now() };
}, true);

// Each component says on which page the app has put it, by the name of the page.
function stands_on(page) {
  at = page;
}

function page_came() {
  if (!turning.to || performance.now() - turning.since > PATIENCE_MS) return true;
  const open = [...document.querySelectorAll("nav a[aria-current=page]")];
  return open.some((link) => link.href === turning.to && link.textContent.trim() === at);
}

function tell(event, send) {
  untold.set(event, send);
  const try_to = () => {
    if (!page_came()) return;
    clearInterval(clock);
    turning.to = null;
    const sends = [...untold.values()];
    untold.clear();
    for (const each of sends) each();
  };
  clearInterval(clock);
  clock = setInterval(try_to, 50);
  try_to();
}
