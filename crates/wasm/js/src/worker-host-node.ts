import "./node-platform.js";

import { serveParent } from "./worker/node-host.js";

serveParent();
