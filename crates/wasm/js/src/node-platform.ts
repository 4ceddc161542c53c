import { setNodePlatform } from "./node/platform.js";

setNodePlatform(new URL("./wasm/isovec_bg.wasm", import.meta.url));
