// Buttons that save a figure as a picture, drawn in the browser.
export default function ({ data, parentElement: root }) {
  for (const button of root.querySelectorAll("button")) {
    button.onclick = () => {
      const figure = document.querySelector(`.st-key-${data.figure} .js-plotly-plot`);
      if (!figure?._context) return; // not drawn yet
      const format = button.dataset.format;
      // Plotly's own download button reads its options at the moment of the click.
      const options = figure._context.toImageButtonOptions;
      figure._context.toImageButtonOptions = { ...options, format, scale: format === "png" ? 3 : 1 };
      figure.querySelector('.modebar-btn[data-title^="Download plot"]').click();
      figure._context.toImageButtonOptions = options;
    };
  }
}
