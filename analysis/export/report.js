"use strict";
const write_minus_in = (place) => {
  /* MINUS */
};

const draw = async (script) => {
  const place = document.getElementById(script.dataset.place);
  try {
    const { data, layout, config } = JSON.parse(script.textContent);
    await Plotly.newPlot(place, data, layout, config);
    write_minus_in(place.id);
    return true;
  } catch (error) {
    place.className = "failed";
    place.textContent = `This figure could not be drawn: ${error.message}`;
    return false;
  }
};

const draw_all = async () => {
  let failed = 0;
  for (const script of document.querySelectorAll("script.figure")) {
    failed += !(await draw(script));
    await new Promise((resume) => setTimeout(resume));
  }
  document.documentElement.dataset.drawn = failed ? `${failed} not drawn` : "all";
};

draw_all();
