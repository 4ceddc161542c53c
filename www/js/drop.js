// Files that are dropped anywhere on the page go to where they belong.

/** @param {{ texts(files: File[]): void, images(files: File[]): void }} takers */
export function startDrop(takers) {
  const { classList } = document.documentElement;
  addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    classList.add("dropping");
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) classList.remove("dropping");
  });
  addEventListener("drop", (event) => {
    classList.remove("dropping");
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length === 0) return;
    // Otherwise the browser would leave the page and show the file.
    event.preventDefault();
    const images = files.filter(({ type }) => type.startsWith("image/"));
    const texts = files.filter(({ type }) => !type.startsWith("image/"));
    if (images.length > 0) takers.images(images);
    if (texts.length > 0) takers.texts(texts);
  });
}
