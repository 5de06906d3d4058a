// Answers: sentences whose links select, or open a page. Token text is inserted as textContent only, never as HTML.
const mounted = new WeakMap();

export default function (component) {
  const { data, parentElement: root } = component;
  drawn_on(data.page);
  let answer = mounted.get(root);
  if (!answer) mounted.set(root, (answer = new Answer(root.querySelector("section"))));
  answer.component = component;
  answer.show(data);
}

class Answer {
  constructor(box) {
    this.box = box;
    this.shown = this.page = null;
    this.spare = this.width = 0;
    this.heights = [];
    // In a window or beside a sidebar of another width the sentences break elsewhere, so their heights are taken anew.
    new ResizeObserver(() => this.box.clientWidth !== this.width && this.keep_heights(this.page)).observe(box);
  }

  show({ page, rows, spare }) {
    const shown = JSON.stringify(rows);
    if (shown === this.shown) return;
    [this.shown, this.spare] = [shown, spare];
    const focused = this.links().indexOf(this.box.getRootNode().activeElement);
    this.box.className = rows.some(([heading]) => heading) ? "headed" : "";
    this.box.replaceChildren(...rows.flatMap(([heading, parts]) => this.row(heading, parts)));
    if (focused >= 0) this.links()[focused]?.focus({ preventScroll: true });
    this.keep_heights(page);
  }

  row(heading, parts) {
    const line = document.createElement("p");
    for (const [text, link, hint] of parts) {
      const last = line.lastChild, close = link || last?.tagName !== "BUTTON" ? "" : text.match(/^\S*/)[0];
      if (close) line.append(this.together(last, close)); // a comma behind a link stays in its line
      if (text === " " && last?.className === "opens") last.classList.add("followed");
      line.append(link ? this.link(text, link, hint) : text.slice(close.length));
    }
    if (!heading) return [line];
    const head = document.createElement("b");
    head.textContent = heading;
    return [head, line];
  }

  together(...parts) {
    const span = document.createElement("span");
    span.className = "unbroken";
    span.append(...parts);
    return span;
  }

  links() {
    return [...this.box.querySelectorAll("button")];
  }

  link(text, link, hint) {
    const button = document.createElement("button");
    button.textContent = text;
    button.title = hint;
    if (link.page) button.className = "opens";
    button.onclick = () => send_event("follow", () => this.component.setTriggerValue("follow", link));
    return button;
  }

  // An answer to another selection leaves the figures below where they are: the box only grows on a page, and where the
  // answer changes with the selection it has room for longer names from the first. The room is below the last line.
  keep_heights(page) {
    const width = this.box.clientWidth;
    if (page !== this.page || width !== this.width) this.heights = [];
    [this.page, this.width] = [page, width];
    const lines = [...this.box.querySelectorAll("p")];
    this.box.style.minHeight = "";
    const least = this.box.offsetHeight, drawn = lines.map((line) => line.offsetHeight);
    lines.forEach((line, i) => {
      if (this.heights[i] === undefined) {
        const longer = document.createTextNode(" n".repeat(this.spare / 2));
        line.append(longer);
        this.heights[i] = line.offsetHeight;
        longer.remove();
      }
      this.heights[i] = Math.max(this.heights[i], drawn[i]);
    });
    const room = lines.reduce((sum, _, i) => sum + this.heights[i] - drawn[i], 0);
    this.box.style.minHeight = least + room + "px";
  }
}
