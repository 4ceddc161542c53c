// Keeps the page for visits without a network, and offers newer versions of it.
import { byId, el, say } from "./dom.js";

// Where the address is not a secure one, there is none.
const workers = /** @type {ServiceWorkerContainer | undefined} */ (navigator.serviceWorker);
/** Whether everything is to be removed, also what is still on its way. */
let forgotten = false;

/** What is there from the start, whether or not the model comes. */
export function watchOffline() {
  byId("forget").addEventListener("click", () => void forget());
  let kept = Boolean(workers?.controller);
  workers?.addEventListener("controllerchange", () => {
    // The files of the version that is open are gone, wherever the new one was taken: here or in another
    // tab, where a reload would lose what has been typed.
    if (kept) offer("A new version of this page is active. ", "Reload", () => location.reload());
    // On the first visit it is this version itself.
    kept = true;
  });
}

/** Keeps the page; to be called once what is wanted now is there. */
export async function keepOffline() {
  if (forgotten) return await forget();
  if (!workers) {
    byId("about-store").textContent = "nothing: the address is not a secure one (https or localhost)";
    return;
  }
  try {
    // The host may let browsers keep files, also precache.js, for long: the list of the newest version is
    // always asked for.
    const registration = await workers.register("sw.js", { updateViaCache: "none" });
    if (registration.waiting && workers.controller) offerUpdate(registration.waiting);
    registration.addEventListener("updatefound", () => {
      const { installing } = registration;
      installing?.addEventListener("statechange", () => {
        if (installing.state === "installed" && workers.controller) offerUpdate(installing);
      });
    });
  } catch {
    // Blocked by the browser, or by a deployment without sw.js: the page works, with a network.
  }
}

/** @param {ServiceWorker} waiting */
function offerUpdate(waiting) {
  offer("There is a newer version of this page. ", "Load it now", () => {
    workers?.addEventListener("controllerchange", () => location.reload(), { once: true });
    waiting.postMessage("take over");
  });
}

/** @param {string} text @param {string} name @param {() => void} act */
function offer(text, name, act) {
  const button = el("button", { type: "button", class: "link", click: act }, name);
  byId("update").replaceChildren(el("p", { class: "say" }, text, button));
}

async function forget() {
  forgotten = true;
  try {
    await remove();
    byId("forget-say").textContent = "Removed. What is open now works until you close it.";
  } catch (error) {
    say(byId("forget-say"), String(error), "bad", "This did not work.");
  }
}

/** Removes the page, the models and the theme from this browser. */
async function remove() {
  const registration = await workers?.getRegistration();
  const prefix = `isovec-demo ${registration?.scope ?? new URL("./", document.baseURI).href} `;
  await registration?.unregister();
  if ("caches" in globalThis) {
    for (const name of await caches.keys()) {
      // That of isovec belongs to all pages of this address: which model is whose is not written there.
      if (name === "isovec" || name.startsWith(prefix)) await caches.delete(name);
    }
  }
  localStorage.removeItem("isovec-theme");
}

/** Says how much the browser keeps for this address. */
export async function showStored() {
  const { usage } = (await navigator.storage?.estimate?.()) ?? {};
  if (usage && usage > 1e6) byId("about-store").textContent = `about ${Math.round(usage / 1e6)} MB`;
}
