// Dims stale elements of the page, but only in long runs (the style is in frame.css). Streamlit's own dimming starts an
// animation on every element and chart with every run, which makes a click a sixth slower.
const LONG_RUN_MS = 1200;
let observed = null; // the element whose attribute says whether the script is running

function dim_in_long_runs() {
  const app = document.querySelector("[data-testid=stApp]");
  if (!app || app === observed) return;
  observed = app;
  let timer = 0;
  const follow = () => {
    clearTimeout(timer);
    if (app.dataset.testScriptState === "notRunning") delete app.dataset.longRun;
    else timer = setTimeout(() => (app.dataset.longRun = ""), LONG_RUN_MS);
  };
  new MutationObserver(follow).observe(app, { attributeFilter: ["data-test-script-state"] });
}
