// Problems with labels of the page's figures: cut off at the figure's edge, or overlapping another label.
() => {
  const problems = [], shown = (box) => box.width > 1 && box.height > 1;
  const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2.5 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4;
  // Vertical token labels may be dense: 9 px from one to the next are enough.
  const close = (a, b) => Math.abs(a.left + a.right - b.left - b.right) < 2 * 9;
  for (const figure of document.querySelectorAll(".js-plotly-plot")) {
    const name = figure.closest('[class*="st-key-figure-"]:not([class*="-chart"])')?.className.match(/figure-([\w]+)/)?.[1];
    const frame = figure.querySelector(".main-svg").getBoundingClientRect();
    const all = [...figure.querySelectorAll("text")].map((text) => ({ text: text.textContent, box: text.getBoundingClientRect(), turned: text.getAttribute("transform")?.includes("rotate(-90"), of: text.closest(".annotation, .xtick, .x2tick, .x3tick, .ytick, .y2tick, .y3tick, .g-xtitle, .g-ytitle, .g-x2title, .g-y2title, .cb-title-group") })).filter((each) => shown(each.box) && each.of);
    for (const { text, box } of all) {
      if (box.left < frame.left - 2 || box.right > frame.right + 2 || box.top < frame.top - 2 || box.bottom > frame.bottom + 2) problems.push(`${name}: “${text}” is cut`);
    }
    all.forEach((first, i) => all.slice(i + 1).forEach((second) => {
      const names = first.turned && second.turned;
      if (over(first.box, second.box) && (!names || close(first.box, second.box))) problems.push(`${name}: “${first.text}” lies over “${second.text}”`);
    }));
  }
  return problems;
}
