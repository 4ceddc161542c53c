// The colours of groups: ten for the shipped topics, ink for the visitor's own texts.

/** @type {Map<string, number>} */
const numbers = new Map();

/** Gives each topic its number, in order of appearance. @param {Iterable<string>} topics */
export function nameGroups(topics) {
  for (const topic of topics) if (!numbers.has(topic)) numbers.set(topic, numbers.size % 10);
}

/** The class, and the name of the CSS variable, of a passage's colour. @param {import("./corpus.js").Passage} passage */
export function groupOf({ topic, own }) {
  return own ? "group-own" : `group-${numbers.get(topic) ?? 3}`;
}
