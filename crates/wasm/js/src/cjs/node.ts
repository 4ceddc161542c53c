// The entry for Node, as a CommonJS module.
import "./platform.js";

export * from "../common.js";
export { folderCache } from "../node/cache.js";
