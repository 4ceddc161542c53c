import { join } from "node:path";

import { setNodePlatform } from "../node/platform.js";

setNodePlatform(join(__dirname, "../../wasm/isovec_bg.wasm"));
