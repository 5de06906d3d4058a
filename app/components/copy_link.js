// A button that copies the address of this page, if wanted with a query of its own.
export default function ({ data, parentElement: root }) {
  const button = root.querySelector("button");
  const label = data.label;
  button.textContent = label;
  button.onclick = async () => {
    const address = new URL(window.location.href);
    for (const [name, value] of Object.entries(data.query)) address.searchParams.set(name, value);
    try {
      await navigator.clipboard.writeText(address.href);
      button.textContent = "Copied";
    } catch {
      // Pages served over plain http from another machine have no clipboard: then the reader copies by hand.
      window.prompt("Copy this link", address.href);
    }
    setTimeout(() => (button.textContent = label), 1500);
  };
}
