// Sends the events of our components to the app. After a click on a link to another page, Streamlit would send an event
// together with the page that is being left and so take the visitor back to it; and the app has no listener until the
// component is drawn on the new page. So events are held back until both the page and the component are there; and while
// the connection is lost, when Streamlit would drop them, until it is there again.
const MAX_WAIT_MS = 10_000; // for a page that does not arrive
const unsent = new Map(); // event -> the function that sends its latest value
let navigation = { to: null, since: 0 }, timer = 0, current_page = null;

document.addEventListener("click", (event) => {
  const link = event.target.closest?.('nav a, a[data-testid^="stPageLink"]');
  const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey; // opens another tab or window
  if (link && !elsewhere) navigation = { to: link.href, since: performance.now() };
}, true);

// Each component reports the name of the page that the app has drawn it on.
function drawn_on(page) {
  current_page = page;
}

function page_has_arrived() {
  if (!navigation.to || performance.now() - navigation.since > MAX_WAIT_MS) return true;
  const open = [...document.querySelectorAll("nav a[aria-current=page]")];
  return open.some((link) => link.href === navigation.to && link.textContent.trim() === current_page);
}

function connected() {
  return document.querySelector("[data-testid=stApp]")?.dataset.testConnectionState === "CONNECTED";
}

function send_event(event, send) {
  unsent.set(event, send);
  const attempt = () => {
    if (!page_has_arrived() || !connected()) return;
    clearInterval(timer);
    navigation.to = null;
    const senders = [...unsent.values()];
    unsent.clear();
    for (const send_value of senders) send_value();
  };
  clearInterval(timer);
  timer = setInterval(attempt, 50);
  attempt();
}
