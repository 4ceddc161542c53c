// The entry for Node, as an ES module.
import "./node-platform.js";

export * from "./common.js";
export { folderCache } from "./node/cache.js";
