// The order in which charts are drawn: visible ones at once, the others one by one when the browser is idle.
const MAX_DELAY_MS = 300; // of one chart, if the browser is never idle
const waiting = new Map(); // figure -> how to draw it

function draw_in_order(figure, draw) {
  const { top, bottom } = figure.getBoundingClientRect();
  if (bottom > 0 && top < innerHeight) {
    waiting.delete(figure);
    return draw();
  }
  waiting.set(figure, draw);
  if (waiting.size === 1) run_when_idle(draw_next, MAX_DELAY_MS);
}

function draw_next() {
  for (const [figure, draw] of waiting) {
    waiting.delete(figure);
    if (waiting.size) run_when_idle(draw_next, MAX_DELAY_MS);
    return draw();
  }
}

function run_when_idle(act, max_delay) {
  if (window.requestIdleCallback) requestIdleCallback(act, { timeout: max_delay });
  else setTimeout(act); // Safari
}
