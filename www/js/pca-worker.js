// Lays vectors out in a plane, away from the page.
import "./same-origin.js";
import { fitPlane, project } from "./pca.js";

/** @type {import("./pca.js").Plane | undefined} */
let plane;

addEventListener("message", ({ data: { vectors, dims, fit } }) => {
  // The axes are those of the first `fit` vectors, so that the map stays where it is as texts come.
  if (fit > 0 || !plane) plane = fitPlane(fit > 0 ? vectors.subarray(0, fit * dims) : vectors, dims);
  const points = project(plane, vectors);
  postMessage({ points, plane }, { transfer: [points.buffer] });
});
