// A button that copies the address of this page, with the given query added and parts without a value left out.
export default function ({ data, parentElement: root }) {
  const button = root.querySelector("button");
  const label = data.label;
  button.textContent = label;
  button.onclick = async () => {
    const address = new URL(window.location.href);
    for (const [name, value] of Object.entries(data.query)) {
      if (value === null) address.searchParams.delete(name);
      else address.searchParams.set(name, value);
    }
    try {
      await navigator.clipboard.writeText(address.href);
      button.textContent = "Copied";
    } catch {
      // Without https a page from another machine has no clipboard: the visitor copies by hand.
      window.prompt("Copy this link", address.href);
    }
    setTimeout(() => (button.textContent = label), 1500);
  };
}
