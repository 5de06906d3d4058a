// Clicks on figures select a token and a layer: Streamlit's own selection events never fire for heat-map cells.
// A figure says in layout.meta.select how its points name them: "xy" (x token, y layer) or "customdata" ([token, layer]).
const state = { figures: new WeakSet(), send: null };

export default function ({ setTriggerValue }) {
  state.send = setTriggerValue;
  const attach = () => {
    for (const figure of document.querySelectorAll(".js-plotly-plot")) {
      if (state.figures.has(figure) || !figure.on) continue;
      state.figures.add(figure);
      figure.on("plotly_click", ({ points: [point] }) => {
        const how = figure.layout?.meta?.select;
        const [token, layer] = how === "xy" ? [point.x, point.y] : how === "customdata" ? point.customdata : [null, null];
        if (Number.isInteger(token) || Number.isInteger(layer)) state.send("select", { token, layer, at: Date.now() });
      });
    }
  };
  attach();
  const timer = setInterval(attach, 150);
  return () => clearInterval(timer);
}
