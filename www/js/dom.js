// The little that this page needs to make elements. Text is always text, never markup.

/**
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element #${id}`);
  return found;
}

/**
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function typed(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`no ${type.name} #${id}`);
  return found;
}

/**
 * @param {string} tag
 * @param {Record<string, string | ((event: Event) => void)>} [attributes] Functions are listeners.
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function el(tag, attributes = {}, ...children) {
  return /** @type {HTMLElement} */ (fill(document.createElement(tag), attributes, children));
}

/**
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 * @returns {Element}
 */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/**
 * @param {Element} element
 * @param {Record<string, string | ((event: Event) => void)>} attributes
 * @param {(Node | string)[]} children
 */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/**
 * Says something in a live region; an empty text clears it.
 *
 * @param {HTMLElement} region
 * @param {string} text
 * @param {"good" | "bad" | ""} [kind]
 * @param {string} [title] What it is about, in bold.
 */
export function say(region, text, kind = "", title = "") {
  const parts = title ? [el("b", {}, title), ` ${text}`] : [text];
  region.replaceChildren(...(text || title ? [el("p", { class: `say ${kind}` }, ...parts)] : []));
}

/**
 * Says something in a live region once nothing else has been said for a second: while somebody types,
 * each letter changes what is found. An empty text clears it at once.
 *
 * @param {HTMLElement} region
 * @returns {(text: string) => void}
 */
export function sayLater(region) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  return (text) => {
    clearTimeout(timer);
    if (text === "") region.textContent = "";
    else timer = setTimeout(() => (region.textContent = text), 1000);
  };
}

/**
 * Whether a button does something. Not by `disabled`, which would drop the keyboard's focus.
 *
 * @param {HTMLElement} button @param {boolean} able
 */
export function enable(button, able) {
  button.setAttribute("aria-disabled", String(!able));
}

/** @param {HTMLElement} button */
export const isEnabled = (button) => button.getAttribute("aria-disabled") !== "true";

/**
 * Hides something, or shows it. Where the focus was in what is hidden, it goes on elsewhere.
 *
 * @param {HTMLElement} element @param {boolean} hidden @param {HTMLElement} next
 */
export function hide(element, hidden, next) {
  const focused = hidden && element.contains(document.activeElement);
  element.hidden = hidden;
  if (focused) next.focus({ preventScroll: true });
}
