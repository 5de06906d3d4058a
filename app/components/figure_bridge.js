// Connects the page's figures with the app: clicks select, and the selection is drawn over the figures. (Streamlit's own
// selection events never fire for heat-map cells.) In a figure with layout.meta.select = "customdata" the customdata of
// each point is [token, layer], with null for what the point does not name. With "part" it is [[what, value], layer], which
// names a part of a run; what and value may be missing.
const WIDE = 1060, STEP = 20; // pixels; analysis.view.PAGE_PX is the same
const SVG = "http://www.w3.org/2000/svg";
// Live collections, so that the timer below does not search the page.
const plots = document.getElementsByClassName("js-plotly-plot");
const pages = document.getElementsByClassName("stMainBlockContainer");
const navigations = document.getElementsByTagName("nav");
const state = { figures: new WeakSet(), setTriggerValue: null, marks: {}, redrawn: {}, token: null, layer: null, theme: null, reported_theme: null, room: 0, measured: null, reported_room: null, timer: 0, idle_requested: false, patched: null };

export default function ({ data, setTriggerValue, parentElement }) {
  drawn_on(data.page);
  dim_in_long_runs();
  Object.assign(state, data, { setTriggerValue, reported_theme: null, reported_room: null });
  const host = parentElement.host ?? parentElement;
  const attach = () => {
    if (!host.isConnected) return clearInterval(timer);
    patch_plotly();
    when_idle(() => {
      if (!host.isConnected) return;
      [...plots].forEach(listen);
      mend_navigation();
      follow_theme(host);
      follow_width();
    });
  };
  clearInterval(state.timer); // this function runs after every run of the script: keep only the newest timer
  const timer = (state.timer = setInterval(attach, 150));
  attach();
  [...plots].forEach(refresh);
  return () => clearInterval(timer);
}

function send(event, value) {
  send_event(event, () => state.setTriggerValue(event, value));
}

// Reading styles and widths while a page is being built would force the browser to recompute them again and again.
function when_idle(act) {
  if (state.idle_requested) return;
  state.idle_requested = true;
  run_when_idle(() => {
    state.idle_requested = false;
    act();
  }, 600);
}

// Streamlit puts headings into its list of pages, which screen readers report as a broken list. The links alone are enough.
function mend_navigation() {
  for (const navigation of navigations) {
    navigation.querySelectorAll("ul:not([role]), li:not([role])").forEach((item) => (item.role = "presentation"));
  }
}

// When the theme changes, Streamlit changes its own colours but does not rerun the script. Figures and frame contain colours,
// so ask for a rerun, once per change.
function follow_theme(host) {
  host.style.color = getComputedStyle(host).getPropertyValue("--st-background-color");
  const [red, green, blue] = getComputedStyle(host).color.match(/[\d.]+/g).map(Number);
  const theme = red + green + blue < 3 * 128 ? "dark" : "light";
  if (theme === state.theme || theme === state.reported_theme) return;
  state.reported_theme = theme;
  send("theme", theme);
}

// Figures are drawn for the width of the page. Wide windows share one width (room 0); in narrower ones ask for a rerun that
// draws for theirs, once the width has stopped changing.
function follow_width() {
  const [page] = pages;
  const { paddingLeft, paddingRight } = getComputedStyle(page);
  const width = page.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
  const room = width >= WIDE ? 0 : Math.floor(width / STEP) * STEP;
  const stable = room === state.measured;
  state.measured = room;
  if (!stable || room === state.room || room === state.reported_room) return;
  state.reported_room = room;
  send("room", room);
}

// Streamlit draws each chart twice: before it knows the chart's width, and again when it does. The patch draws for the right
// width at once and skips the second, identical drawing.
function patch_plotly() {
  const { Plotly } = window; // global since Streamlit has loaded plotly.js for its charts
  if (!Plotly || Plotly === state.patched) return;
  state.patched = Plotly;
  const { react } = Plotly;
  Plotly.react = (figure, content, ...rest) => {
    const { layout, config } = content, drawing = layout?.meta?.drawing;
    if (!drawing) return react(figure, content, ...rest);
    const draw = async () => {
      if (!figure.isConnected) return figure; // the page was left meanwhile
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
    figure.style.minHeight = `${layout.height}px`; // reserves the space, so that nothing moves when it is drawn
    return new Promise((resolve) => draw_in_order(figure, () => resolve(draw())));
  };
}

function listen(figure) {
  if (state.figures.has(figure) || !figure.on) return;
  state.figures.add(figure);
  figure.on("plotly_click", ({ points: [point] }) => {
    const select = figure.layout?.meta?.select;
    if (select === "part" && point.customdata) {
      const [part, layer] = point.customdata, [what, value] = part ?? [null, null];
      send("part", { what, value, layer, at: Date.now() });
    }
    if (select !== "customdata" || !point.customdata) return;
    const [token, layer] = point.customdata;
    if (Number.isInteger(token) || Number.isInteger(layer)) send("select", { token, layer, at: Date.now() });
  });
  figure.on("plotly_afterplot", () => (write_minus(figure), refresh(figure)));
  write_minus(figure);
  refresh(figure);
}

// Hover cards write a hyphen before negative numbers, axes and cells the minus sign: make it the same.
function write_minus(figure) {
  const locale = figure._fullLayout?._d3locale;
  if (!locale || locale.with_minus) return;
  const { numberFormat } = locale;
  locale.with_minus = true;
  locale.numberFormat = (form) => (value) => numberFormat(form)(value).replace("-", "\u2212");
}

// Bring a figure up to date: first its content, if the app has newer content than Streamlit, then the marks over it. This is
// called after every drawing, since Streamlit may restore its own content, for example when the width changes.
function refresh(figure) {
  if (outdated(figure)) draw_in_order(figure, () => renew(figure));
  else draw(figure);
}

function outdated(figure) {
  const content = state.redrawn[figure.layout?.meta?.drawing];
  return figure._fullLayout?.width && content && !(figure.content === content && figure.layout === figure.ours);
}

function renew(figure) {
  if (!figure.isConnected || !outdated(figure)) return; // things may have changed since this was scheduled
  const content = state.redrawn[figure.layout.meta.drawing], { data, layout } = JSON.parse(content);
  const { width, height, autosize } = figure.layout;
  figure.content = content;
  figure.ours = { ...layout, width, height, autosize };
  window.Plotly.react(figure, data, figure.ours);
}

// Draw the marks over a figure. They are Plotly shapes, in the coordinates of the figure's axes.
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

// A position in pixels: with ref "x2" the value is in units of that axis, with "x2 domain" a share of its length.
function place(layout, ref, value) {
  const [id, domain] = ref.split(" ");
  const axis = layout[id[0] + "axis" + id.slice(1)];
  if (!domain) return axis._offset + axis.l2p(value);
  return axis._offset + axis._length * (id[0] === "x" ? value : 1 - value);
}

// Make the tick labels of the selected token and layer bold. An axis titled "layer" counts layers; one with vertical labels
// counts tokens.
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
