// A model that crashes: a small one, with the tokenizer of MiniLM, whose ids go far beyond its table
// of words. That is in fp16, so it is tract that reads it, which panics; of others the core does, and says what is
// wrong. Only the empty text stays within the table, and so has a vector. Plain JavaScript without imports, for pages
// as well.
export const CRASHES = "hello";
export const RUNS = "";

export async function crashingBytes(read) {
  return {
    spec: { name: "mismatched", dims: 64, max_tokens: 48, pooling: "mean" },
    model: await read("models/fp16/model.onnx"),
    tokenizer: await read("store/all-MiniLM-L6-v2/tokenizer.json"),
  };
}
