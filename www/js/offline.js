// Keeps the page for visits without a network, and offers newer versions of it.
import { byId, el, say } from "./dom.js";

/** Where a browser keeps what belongs to this page. */
export async function startOffline() {
  byId("forget").addEventListener("click", () => void forget());
  if (!("serviceWorker" in navigator)) {
    byId("about-store").textContent = "nothing: the address is not a secure one (https or localhost)";
    return;
  }
  try {
    const registration = await navigator.serviceWorker.register("sw.js");
    if (registration.waiting && navigator.serviceWorker.controller) offer(registration.waiting);
    registration.addEventListener("updatefound", () => {
      const { installing } = registration;
      installing?.addEventListener("statechange", () => {
        if (installing.state === "installed" && navigator.serviceWorker.controller) offer(installing);
      });
    });
  } catch {
    // Blocked by the browser, or by a deployment without sw.js: the page works, with a network.
  }
}

/** @param {ServiceWorker} waiting */
function offer(waiting) {
  const reload = el("button", { type: "button", class: "link" }, "Load it now");
  reload.addEventListener("click", () => {
    navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
    waiting.postMessage("take over");
  });
  byId("update").replaceChildren(el("p", { class: "say" }, "There is a newer version of this page. ", reload));
}

/** Removes the page, the model and the theme from this browser. */
async function forget() {
  try {
    const registration = await navigator.serviceWorker?.getRegistration();
    const prefix = `isovec-demo ${registration?.scope ?? new URL("./", document.baseURI).href} `;
    await registration?.unregister();
    if ("caches" in globalThis) {
      for (const name of await caches.keys()) {
        if (name === "isovec" || name.startsWith(prefix)) await caches.delete(name);
      }
    }
    localStorage.removeItem("isovec-theme");
    byId("forget-say").textContent = "Removed. What is open now works until you close it.";
  } catch (error) {
    say(byId("forget-say"), String(error), "bad", "This did not work.");
  }
}

/** Says how much the browser keeps for this address. */
export async function showStored() {
  const { usage } = (await navigator.storage?.estimate?.()) ?? {};
  if (usage && usage > 1e6) byId("about-store").textContent = `about ${Math.round(usage / 1e6)} MB`;
}
