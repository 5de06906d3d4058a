// Between the page's figures and the app: clicks select, and the marks of the selection are drawn over the figures.
// Streamlit's own selection events never fire for heat-map cells. A figure with layout.meta.select = "customdata" says so
// that its points carry [token, layer], with null for what they do not name.
const WIDE = 1060, STEP = 20; // pixels; analysis.view.PAGE_PX is the same
const SVG = "http://www.w3.org/2000/svg";
// Live lists: nothing is searched several times a second.
const plots = document.getElementsByClassName("js-plotly-plot");
const pages = document.getElementsByClassName("stMainBlockContainer");
const navigations = document.getElementsByTagName("nav");
const state = { figures: new WeakSet(), setTriggerValue: null, marks: {}, redrawn: {}, token: null, layer: null, theme: null, told: null, room: 0, measured: null, asked: null, timer: 0, waits: false, spared: null };

export default function ({ data, setTriggerValue, parentElement }) {
  stands_on(data.page);
  dim_in_long_runs();
  Object.assign(state, data, { setTriggerValue, told: null, asked: null });
  const host = parentElement.host ?? parentElement;
  const attach = () => {
    if (!host.isConnected) return clearInterval(timer);
    spare_plotly();
    when_idle(() => {
      if (!host.isConnected) return;
      [...plots].forEach(listen);
      mend_navigation();
      follow_theme(host);
      follow_width();
    });
  };
  clearInterval(state.timer); // this runs after every run of the script, and only the last one's clock goes on
  const timer = (state.timer = setInterval(attach, 150));
  attach();
  [...plots].forEach(refresh);
  return () => clearInterval(timer);
}

function send(event, value) {
  tell(event, () => state.setTriggerValue(event, value));
}

// To look about and ask for styles and widths while a page is being built would have the browser work them out again and again.
function when_idle(act) {
  if (state.waits) return;
  state.waits = true;
  at_rest(() => {
    state.waits = false;
    act();
  }, 600);
}

// Streamlit puts headings into the list of pages, so that screen readers meet a broken list: links in a <nav> are enough.
function mend_navigation() {
  for (const navigation of navigations) {
    navigation.querySelectorAll("ul:not([role]), li:not([role])").forEach((item) => (item.role = "presentation"));
  }
}

// Streamlit changes its own colours at once when the reader (or the system) changes the theme, but runs no script then:
// figures and frame, which carry their colours with them, ask for a run. Once for each change, whatever comes of it.
function follow_theme(host) {
  host.style.color = getComputedStyle(host).getPropertyValue("--st-background-color");
  const [red, green, blue] = getComputedStyle(host).color.match(/[\d.]+/g).map(Number);
  const theme = red + green + blue < 3 * 128 ? "dark" : "light";
  if (theme === state.theme || theme === state.told) return;
  state.told = theme;
  send("theme", theme);
}

// Figures are drawn for the width that they have. In wide windows they are all alike (0); in others they ask for a run that
// draws them for theirs, once the width rests.
function follow_width() {
  const [page] = pages;
  const { paddingLeft, paddingRight } = getComputedStyle(page);
  const width = page.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
  const room = width >= WIDE ? 0 : Math.floor(width / STEP) * STEP;
  const rests = room === state.measured;
  state.measured = room;
  if (!rests || room === state.room || room === state.asked) return;
  state.asked = room;
  send("room", room);
}

// Streamlit draws each chart twice: before it knows the chart's width, and again, as a copy, when it does. Drawn for its width
// at once, the copy adds nothing and is left out.
function spare_plotly() {
  const { Plotly } = window; // global since Streamlit has loaded plotly.js for its charts
  if (!Plotly || Plotly === state.spared) return;
  state.spared = Plotly;
  const { react } = Plotly;
  Plotly.react = (figure, content, ...rest) => {
    const { layout, config } = content, drawing = layout?.meta?.drawing;
    if (!drawing) return react(figure, content, ...rest);
    const draw = async () => {
      if (!figure.isConnected) return figure; // its page was left before its turn came
      layout.width ??= figure.getBoundingClientRect().width || undefined;
      const { width, height } = layout, now = JSON.stringify([drawing, width, height]);
      if (figure.drawn === now && figure.config === config && figure.layout !== figure.ours) return figure;
      Object.assign(figure, { drawn: now, config });
      const drawn = await react(figure, content, ...rest);
      figure.style.minHeight = "";
      listen(figure);
      return drawn;
    };
    if (figure._fullLayout) return draw();
    figure.style.minHeight = `${layout.height}px`; // nothing moves when its turn comes
    return new Promise((resolve) => in_turn(figure, () => resolve(draw())));
  };
}

function listen(figure) {
  if (state.figures.has(figure) || !figure.on) return;
  state.figures.add(figure);
  figure.on("plotly_click", ({ points: [point] }) => {
    if (figure.layout?.meta?.select !== "customdata" || !point.customdata) return;
    const [token, layer] = point.customdata;
    if (Number.isInteger(token) || Number.isInteger(layer)) send("select", { token, layer, at: Date.now() });
  });
  figure.on("plotly_afterplot", () => refresh(figure));
  refresh(figure);
}

// Bring a figure up to date: its content, if it became another than Streamlit's, and then the marks over it. Streamlit may
// put its own content back (when the width changes); every drawing therefore ends here again.
function refresh(figure) {
  if (outdated(figure)) in_turn(figure, () => renew(figure));
  else draw(figure);
}

function outdated(figure) {
  const content = state.redrawn[figure.layout?.meta?.drawing];
  return figure._fullLayout?.width && content && !(figure.content === content && figure.layout === figure.ours);
}

function renew(figure) {
  if (!figure.isConnected || !outdated(figure)) return; // since its turn was asked for
  const content = state.redrawn[figure.layout.meta.drawing], { data, layout } = JSON.parse(content);
  const { width, height, autosize } = figure.layout;
  figure.content = content;
  figure.ours = { ...layout, width, height, autosize };
  window.Plotly.react(figure, data, figure.ours);
}

// Draw the marks of this figure; they are Plotly shapes, placed by the figure's own axes.
function draw(figure) {
  const layout = figure._fullLayout;
  const name = figure.closest('[class*="st-key-figure-"]:not([class*="-chart"])')?.className.match(/st-key-(figure-[\w-]+)/)?.[1];
  const marks = state.marks[name];
  if (!layout?.width || !marks) return;
  const box = figure.querySelector(".svg-container");
  let overlay = box.querySelector("svg.selection");
  if (!overlay) {
    overlay = document.createElementNS(SVG, "svg");
    overlay.setAttribute("class", "selection");
    overlay.setAttribute("aria-hidden", "true");
    overlay.style.cssText = "position:absolute;top:0;left:0;pointer-events:none";
    box.insertBefore(overlay, box.querySelectorAll(":scope > .main-svg")[1] ?? null); // under the hover card
  }
  overlay.setAttribute("width", layout.width);
  overlay.setAttribute("height", layout.height);
  overlay.replaceChildren(...marks.map((mark) => shape(layout, mark)));
  embolden(figure, layout);
}

function shape(layout, mark) {
  const [x0, x1] = [place(layout, mark.xref ?? "x", mark.x0), place(layout, mark.xref ?? "x", mark.x1)];
  const [y0, y1] = [place(layout, mark.yref ?? "y", mark.y0), place(layout, mark.yref ?? "y", mark.y1)];
  const made = document.createElementNS(SVG, mark.type);
  const geometry = mark.type === "line"
    ? { x1: x0, x2: x1, y1: y0, y2: y1 }
    : { x: Math.min(x0, x1), y: Math.min(y0, y1), width: Math.abs(x1 - x0), height: Math.abs(y1 - y0) };
  const paint = { fill: mark.fillcolor ?? "none", stroke: mark.line?.color ?? "none", "stroke-width": mark.line?.width ?? 0 };
  for (const [key, value] of Object.entries({ ...geometry, ...paint })) made.setAttribute(key, value);
  return made;
}

// Pixels of a position: "x2" is in units of that axis, "x2 domain" in shares of its length.
function place(layout, ref, value) {
  const [id, domain] = ref.split(" ");
  const axis = layout[id[0] + "axis" + id.slice(1)];
  if (!domain) return axis._offset + axis.l2p(value);
  return axis._offset + axis._length * (id[0] === "x" ? value : 1 - value);
}

// Tick labels of the selected token and layer stand out. An axis is one of tokens or layers if its title or its ticks say so.
function embolden(figure, layout) {
  for (const axis of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
    const counts = layout[axis].title?.text === "layer" ? state.layer : layout[axis].tickangle === -90 ? state.token : null;
    if (counts === null) continue;
    const id = axis.replace("axis", "");
    for (const label of figure.querySelectorAll(`.${id}tick text`)) {
      label.style.fontWeight = label.__data__?.x === counts ? "700" : "";
    }
  }
}
