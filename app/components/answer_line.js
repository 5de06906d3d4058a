// The answer of a page: a sentence whose links select. Token text is inserted as textContent only, never as HTML.
const mounted = new WeakMap();

export default function (component) {
  const { data, parentElement: root } = component;
  drawn_on(data.page);
  let line = mounted.get(root);
  if (!line) mounted.set(root, (line = new Line(root.querySelector("p"))));
  line.component = component;
  line.show(data);
}

class Line {
  constructor(box) {
    this.box = box;
    this.shown = this.page = null;
    this.width = this.height = 0;
    // In a window or beside a sidebar of another width the sentence breaks elsewhere, so its height is taken anew.
    new ResizeObserver(() => this.box.clientWidth !== this.width && this.keep_height(this.page)).observe(box);
  }

  show({ page, parts }) {
    const shown = JSON.stringify(parts);
    if (shown === this.shown) return;
    this.shown = shown;
    const focused = this.links().indexOf(this.box.getRootNode().activeElement);
    this.box.replaceChildren(...parts.map(([text, link, hint]) => (link ? this.link(text, link, hint) : text)));
    if (focused >= 0) this.links()[focused]?.focus({ preventScroll: true });
    this.keep_height(page);
  }

  links() {
    return [...this.box.querySelectorAll("button")];
  }

  link(text, link, hint) {
    const button = document.createElement("button");
    button.textContent = text;
    button.title = hint;
    button.onclick = () => send_event("follow", () => this.component.setTriggerValue("follow", link));
    return button;
  }

  // A shorter answer to another selection leaves the figures below where they are: the line only grows on a page, and one
  // about a selection has two lines from the beginning.
  keep_height(page) {
    const width = this.box.clientWidth;
    const two_lines = 2 * parseFloat(getComputedStyle(this.box).lineHeight);
    if (page !== this.page || width !== this.width) this.height = this.links().length ? two_lines : 0;
    [this.page, this.width] = [page, width];
    this.box.style.minHeight = "";
    this.height = Math.max(this.height, this.box.offsetHeight);
    this.box.style.minHeight = this.height + "px";
    this.box.style.boxSizing = "border-box";
  }
}
