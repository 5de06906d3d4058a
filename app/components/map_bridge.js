// Connects the map of a run's tokens with the app. What is drawn on it is a shape of Plotly's and no selection of
// Plotly's, which would colour 100,000 points anew with every movement of the mouse. A click is told here, since
// Plotly has none while it draws.
const STILL = 4; // pixels: a click does not move more
const map = { figure: null, setTriggerValue: null, shapes: [], drag: null, hovered: null, pressed: null, own: 0, timer: 0 };

export default function ({ data, setTriggerValue, parentElement }) {
  drawn_on(data.page);
  Object.assign(map, data, { setTriggerValue });
  const host = parentElement.host ?? parentElement;
  const attach = () => {
    if (!host.isConnected) return clearInterval(timer);
    const figure = document.querySelector(`.st-key-${data.figure} .js-plotly-plot`);
    if (!figure?._fullLayout?.xaxis || !figure.on) return;
    if (figure !== map.figure) listen(figure);
    show(figure);
  };
  clearInterval(map.timer); // this function runs after every run of the script: keep only the newest timer
  const timer = (map.timer = setInterval(attach, 150));
  attach();
  return () => clearInterval(timer);
}

function send(event, value) {
  send_event(event, () => map.setTriggerValue(event, value));
}

function listen(figure) {
  map.figure = figure;
  figure.on("plotly_hover", ({ points: [point] }) => (map.hovered = point.customdata ?? null));
  figure.on("plotly_unhover", () => (map.hovered = null));
  figure.on("plotly_relayout", (changed) => {
    if (map.own || !Object.keys(changed).some((key) => key.startsWith("shapes"))) return;
    const area = (figure.layout.shapes ?? []).filter(({ name }) => name !== "token").map(corners).filter(Boolean).at(-1);
    if (area) send("area", { ...area, shown: shown(figure), at: Date.now() });
  });
  figure.addEventListener("pointerdown", (event) => {
    map.pressed = map.hovered && { point: map.hovered, x: event.clientX, y: event.clientY };
  }, true);
}

// On the window: while the mouse is down, Plotly covers the page with an element of its own.
addEventListener("pointerup", (event) => {
  const pressed = map.pressed;
  map.pressed = null;
  if (!pressed || Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) > STILL) return;
  send("point", { index: pressed.point[0], at: Date.now() });
}, true);

// The names of the categories that the legend has not hidden.
function shown(figure) {
  return figure._fullData.filter(({ visible }) => visible === true).map(({ meta }) => meta ?? null);
}

// The corners of a drawn shape, in the units of the axes.
function corners({ type, path, x0, x1, y0, y1 }) {
  if (type === "rect") return { x: [x0, x1, x1, x0], y: [y0, y0, y1, y1] };
  const places = [...(path ?? "").matchAll(/(-?[\d.]+(?:e[-+]?\d+)?),(-?[\d.]+(?:e[-+]?\d+)?)/gi)];
  return places.length < 3 ? null : { x: places.map((place) => Number(place[1])), y: places.map((place) => Number(place[2])) };
}

// Draw what the app says is chosen, and let the mouse do what it says: whatever else was drawn goes.
async function show(figure) {
  const wanted = JSON.stringify([map.shapes, map.drag]);
  const now = JSON.stringify([(figure.layout.shapes ?? []).map(place), figure.layout.dragmode]);
  if (map.own || map.pressed || (figure.shown === wanted && figure.then === now)) return;
  map.own += 1;
  try {
    await window.Plotly.relayout(figure, { shapes: map.shapes, dragmode: map.drag });
    Object.assign(figure, { shown: wanted, then: JSON.stringify([(figure.layout.shapes ?? []).map(place), figure.layout.dragmode]) });
  } finally {
    map.own -= 1;
  }
}

function place({ name, path, x0, x1, y0, y1, xanchor, yanchor }) {
  return [name, path, x0, x1, y0, y1, xanchor, yanchor];
}
