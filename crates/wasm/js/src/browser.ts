// The entry for browsers, service workers, extensions and bundlers.
import "./browser-platform.js";

export * from "./common.js";
