// Keeps what the app tells it in this tab's sessionStorage, which survives reloads and ends with the tab; gives it back to
// every new session of the server. See app/session/kept_work.py.
const WORK = "versatileffn-work", LIST = "versatileffn-list";
const tab = tab_storage();
const kept = { session: null, answered: null, ended: false, component: null, watched: null };

export default function (component) {
  const { data } = component;
  drawn_on(data.page);
  kept.component = component;
  if (data.address !== null) replace_address(data.address);
  watch_connection();
  turn_pages_in_one_step();
  if (data.session !== kept.session) {
    kept.ended = kept.session !== null; // in the same document: not by a reload
    kept.session = data.session;
    kept.answered = null;
  }
  if (data.restored || kept.answered === "nothing") return keep(data);
  const [work, list] = [tab?.getItem(WORK) ?? null, tab?.getItem(LIST) ?? null];
  if (work === null && list === null && !kept.ended && !data.waits) {
    kept.answered = "nothing";
    return keep(data);
  }
  send_event("restore", () => kept.component.setTriggerValue("restore", { work, list, ended: kept.ended }));
}

function keep({ work, list, list_number }) {
  store(WORK, work);
  if (list_number === 0) tab?.removeItem(LIST);
  if (list === null) return;
  const stored = store(LIST, list);
  send_event("stored", () => kept.component.setTriggerValue("stored", { number: list_number, stored }));
}

// The tab's storage; null where the visitor has forbidden it.
function tab_storage() {
  try {
    return sessionStorage;
  } catch (error) {
    if (error.name !== "SecurityError") throw error;
    return null;
  }
}

// Returns whether there was room.
function store(name, value) {
  if (!tab) return false;
  if (value === null) tab.removeItem(name);
  else if (tab.getItem(name) !== value) {
    try {
      tab.setItem(name, value);
    } catch (error) {
      if (error.name !== "QuotaExceededError") throw error;
      tab.removeItem(name);
      return false;
    }
  }
  return true;
}

// What a session opens with is no step of the visitor's: Back leads away from the app, not to an address without a query.
function replace_address(query) {
  const { pathname, search, hash } = location;
  if (search.slice(1) !== query) history.replaceState(history.state, "", `${pathname}?${query}${hash}`);
}

// Streamlit turns a page in two steps of the history: first the path alone, then the query that the app writes. The second
// takes the place of the first, or Back would lead to the same page again.
function turn_pages_in_one_step() {
  if (history.in_one_step) return;
  history.in_one_step = true;
  const push = history.pushState.bind(history);
  history.pushState = (state, title, url) => {
    const to = new URL(url, location.href), bare = !new URLSearchParams(location.search).has("layer");
    if (bare && to.pathname === location.pathname) history.replaceState(state, title, url);
    else push(state, title, url);
  };
}

// Streamlit connects again by itself, but asks for nothing until the next click; a session that has ended meanwhile would
// be told only then.
function watch_connection() {
  const app = document.querySelector("[data-testid=stApp]");
  if (!app || app === kept.watched) return;
  kept.watched = app;
  let lost = false;
  new MutationObserver(() => {
    const connected = app.dataset.testConnectionState === "CONNECTED";
    if (connected && lost) send_event("reconnect", () => kept.component.setTriggerValue("reconnect", true));
    lost = !connected;
  }).observe(app, { attributeFilter: ["data-test-connection-state"] });
}
