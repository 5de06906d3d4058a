// Outlines what the tour speaks of (frame.css has the style) and brings it into view, once per step.
const EVERY_MS = 150, GAP_PX = 64; // above a figure stands its title
let pointed = null, timer = 0;

export default function ({ data, parentElement }) {
  const host = parentElement.host ?? parentElement;
  // A sticky element sticks within its parent, so Streamlit's wrapper of the box must be sticky.
  host.closest(".st-key-tour")?.parentElement.classList.add("tour-wrapper");
  clearInterval(timer);
  timer = setInterval(() => (host.isConnected ? point(data) : release()), EVERY_MS);
  point(data);
  return release;
}

function release() {
  clearInterval(timer);
  pointed?.removeAttribute("data-toured");
  pointed = null;
}

function point({ selector, page }) {
  const app = document.querySelector("[data-testid=stApp]");
  const heading = document.querySelector("[data-testid=stMain] h2");
  if (app?.dataset.testScriptState !== "notRunning" || heading?.textContent.trim() !== page) return;
  const element = document.querySelector(`[data-testid=stMain] ${selector}`);
  if (!element || element === pointed) return;
  pointed?.removeAttribute("data-toured");
  pointed = element;
  element.dataset.toured = ""; // an attribute, since Streamlit rewrites the classes of its elements
  bring_into_view(element);
}

// The frame at the top may be sticky, and the box of the tour lies over the lower edge.
function bring_into_view(element) {
  const main = document.querySelector("[data-testid=stMain]"), frame = document.querySelector(".frame-wrapper");
  if (frame?.contains(element)) return main.scrollTo({ top: 0 });
  const sticky = frame && getComputedStyle(frame).position === "sticky" ? frame.offsetHeight : 0;
  const top = element.getBoundingClientRect().top - main.getBoundingClientRect().top - sticky - GAP_PX;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  main.scrollBy({ top, behavior: still ? "auto" : "smooth" });
}
