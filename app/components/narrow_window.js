// In a narrow window the open sidebar would take a third of the page: close it once, when the page is loaded. A style of
// app/server/first_paint.py hides it until then, so that nobody sees it close. Streamlit itself closes it in still narrower windows only.
const NARROW = 900; // pixels, as in frame.css

export default function () {
  const { dataset } = document.documentElement;
  if ("sidebarSeen" in dataset) return;
  const seen = () => requestAnimationFrame(() => (dataset.sidebarSeen = ""));
  const close = () => {
    const sidebar = document.querySelector("[data-testid=stSidebar]");
    if (!sidebar) return requestAnimationFrame(close); // it comes with the navigation
    if (sidebar.dataset.collapsed === "false") sidebar.querySelector("[data-testid=stSidebarCollapseButton] button")?.click();
    seen();
  };
  if (innerWidth >= NARROW) seen();
  else close(); // what this function returned would be called at its end
}
