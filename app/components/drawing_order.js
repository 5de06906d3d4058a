// In which order charts are drawn: what is in sight at once, the others one by one as soon as the browser rests.
const PATIENCE_OF_CHARTS_MS = 300; // rest or no rest, they come then
const waiting = new Map(); // figure -> how to draw it

function in_turn(figure, draw) {
  const { top, bottom } = figure.getBoundingClientRect();
  if (bottom > 0 && top < innerHeight) {
    waiting.delete(figure);
    return draw();
  }
  waiting.set(figure, draw);
  if (waiting.size === 1) at_rest(draw_next, PATIENCE_OF_CHARTS_MS);
}

function draw_next() {
  for (const [figure, draw] of waiting) {
    waiting.delete(figure);
    if (waiting.size) at_rest(draw_next, PATIENCE_OF_CHARTS_MS);
    return draw();
  }
}

function at_rest(act, patience) {
  if (window.requestIdleCallback) requestIdleCallback(act, { timeout: patience });
  else setTimeout(act); // Safari
}
