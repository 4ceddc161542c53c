// Draws what main.mjs measured as an SVG: how fast isovec is beside the other, a group of bars a row.
// On white of its own, so that it is readable on dark pages too.

const [WIDTH, LEFT, RIGHT, TOP, BAR, GAP] = [760, 284, 84, 84, 14, 11];
const COLOURS = ["#d1495b", "#30638e"];
/** What isovec is to reach in every row. */
const GOAL = 1;
/** Where the scale ends: a bar that goes beyond would make all others short. */
const MOST = 1.5;

export function plot({ panels, downloads, machine, peer, rounds }) {
  const groups = panels[0].rows.map(({ name }, i) => {
    return { name, speeds: panels.map(({ rows }) => rows[i].speed) };
  });
  const [download] = downloads;
  groups.push({ name: "download: how many times smaller", speeds: [download.speed] });
  const scale = (speed) => LEFT + ((WIDTH - LEFT - RIGHT) * Math.min(speed, MOST)) / MOST;
  const out = [];
  let y = TOP;
  for (const { name, speeds } of groups) {
    const height = BAR * speeds.length;
    out.push(text(LEFT - 12, y + height / 2 + 4.5, name, { anchor: "end", fill: "#1d1d1f" }));
    speeds.forEach((speed, i) => {
      const top = y + i * BAR;
      const width = scale(speed) - LEFT;
      const fill = speeds.length < panels.length ? "#8d99ae" : COLOURS[i];
      out.push(`<rect x="${LEFT}" y="${top}" width="${width.toFixed(1)}" height="${BAR - 2}" rx="2" fill="${fill}"/>`);
      const weight = speed < GOAL ? 400 : 700;
      const label = `${speed > MOST ? "» " : ""}${speed.toFixed(2)} x`;
      out.push(text(WIDTH - 16, top + 10.5, label, { anchor: "end", size: 12, weight, fill: "#1d1d1f" }));
    });
    y += height + GAP;
  }
  const bottom = y - GAP + 6;
  const height = bottom + 38;
  const legend = panels.flatMap(({ title }, i) => [
    `<rect x="${16 + i * 150}" y="39" width="11" height="11" rx="2" fill="${COLOURS[i]}"/>`,
    text(32 + i * 150, 49, title, { fill: "#444" }),
  ]);
  const note = `${machine.cpu}, ${machine.cores} cores, ${machine.date}; one thread each, same model files, medians of ${rounds} rounds by turns (loads: ${Math.min(rounds, 7)})`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="13">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    text(16, 26, `isovec's speed beside ${peer}: longer is better`, { size: 16, weight: 600, fill: "#1d1d1f" }),
    ...legend,
    ...out,
    `<line x1="${scale(GOAL)}" x2="${scale(GOAL)}" y1="${TOP - 8}" y2="${bottom}" stroke="#1d1d1f" stroke-width="1"/>`,
    text(scale(GOAL), TOP - 14, " 1: as fast, the goal", { size: 11, fill: "#1d1d1f" }),
    text(16, height - 12, note, { size: 11, fill: "#666" }),
    "</svg>\n",
  ].join("\n");
}

function text(x, y, content, { anchor = "start", size = 13, weight = 400, fill }) {
  const escaped = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x.toFixed(1)}" y="${y}" text-anchor="${anchor}" font-size="${size}" font-weight="${weight}" fill="${fill}">${escaped}</text>`;
}
