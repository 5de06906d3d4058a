// What is left of the run before is dimmed once a run takes long (frame.css says how). Streamlit's own dimming begins an
// animation on every element and chart of the page with every run, and a click then takes a sixth longer.
const LONG_RUN_MS = 500;
let runs = null; // what tells whether the script runs

function dim_in_long_runs() {
  const app = document.querySelector("[data-testid=stApp]");
  if (!app || app === runs) return;
  runs = app;
  let clock = 0;
  const follow = () => {
    clearTimeout(clock);
    if (app.dataset.testScriptState === "notRunning") delete app.dataset.longRun;
    else clock = setTimeout(() => (app.dataset.longRun = ""), LONG_RUN_MS);
  };
  new MutationObserver(follow).observe(app, { attributeFilter: ["data-test-script-state"] });
}
