// What an error means for the person in front of the page, and what to do about it.

/**
 * @param {unknown} error
 * @param {string} [what] What was being done.
 * @returns {{ title: string, text: string }}
 */
export function explain(error, what = "The model") {
  const { code = "", message = String(error) } = /** @type {{ code?: string, message?: string }} */ (error ?? {});
  switch (code) {
    case "not_found":
      return {
        title: `${what} is not on this server.`,
        text: "scripts/demo puts its files beside this page; those of models belong into the folder models/.",
      };
    case "network":
    case "offline":
    case "timed_out":
      return {
        title: "The network failed.",
        text: `${what} could not be fetched from this server. What has arrived is kept; try again when you are online. (${message})`,
      };
    case "hash_mismatch":
      return {
        title: `${what} is not the file it should be.`,
        text: `Its sha256 is not the one that is pinned, so it is not used. (${message})`,
      };
    case "fingerprint_mismatch":
      return {
        title: "The index was made with another model.",
        text: `Its vectors and this model's cannot be compared, so nothing is searched. (${message})`,
      };
    case "out_of_memory":
      return { title: "There is not enough memory.", text: "Close other tabs or programs, and try again." };
    case "unsupported":
      return {
        title: "This browser cannot run it.",
        text: `WebAssembly with SIMD is needed, as every current browser has it, and must not be switched off. (${message})`,
      };
    case "crashed":
      return { title: "The model crashed.", text: `Try again: it starts anew. (${message})` };
    default:
      return { title: `${what}: this did not work.`, text: message };
  }
}
