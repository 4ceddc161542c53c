// The worker that runs a model: isovec's own, behind the guard.
import "./same-origin.js";
import "../isovec/worker-host.js";
