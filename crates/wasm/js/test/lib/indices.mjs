// An index that the native program made: the same cases in Node and in browsers, on the page's thread,
// in a worker and in a pool. Plain JavaScript with no imports, as test/lib/table.mjs.

/**
 * @param iso - The package, or a worker with the same interface.
 * @param fixtures - What test/lib/prepare.mjs made.
 * @param read - The bytes of a file that fixtures name.
 * @param files - The address below which these files are served.
 * @param baseUrl - Where MiniLM is served, or nothing if it is in the cache.
 * @returns A line for each case.
 */
export async function runIndex(iso, { fixtures, read, files, baseUrl }) {
  const results = [];
  const { queries, minilm, prompts } = fixtures.index;
  const load = baseUrl === undefined ? {} : { baseUrl };
  const run = async (name, test) => {
    try {
      await test();
      results.push({ name, ok: true, detail: "" });
    } catch (error) {
      results.push({ name, ok: false, detail: `${error?.code ?? ""} ${error?.stack ?? error}` });
    }
  };
  const promptsModel = async (changes = {}) => {
    const { spec, model, tokenizer } = fixtures.small.find((entry) => entry.spec.name === "prompts");
    const bytes = { spec: { ...spec, ...changes }, model: await read(model), tokenizer: await read(tokenizer) };
    return await iso.TextEmbedder.fromBytes(bytes);
  };

  await run("by its address: hits, items and vectors are those of native", async () => {
    const seen = [];
    const onProgress = (progress) => seen.push(progress);
    const index = await iso.SearchIndex.open(`${files}/${minilm.file}`, { ...load, onProgress });
    equal(index.modelName, "all-MiniLM-L6-v2", "modelName");
    equal(index.variant, "int8", "variant");
    equal(index.kind, "text", "kind");
    equal(index.maxTokens, 128, "maxTokens");
    equal(index.dims, 384, "dims");
    equal(index.length, minilm.items.length, "length");
    equal(index.queryPrompt, undefined, "queryPrompt");
    equal(JSON.stringify(index.items), JSON.stringify(minilm.items), "items");
    equal(index.fingerprint, index.embedder.fingerprint, "fingerprint");
    equal(index.embedder.variant, "int8", "the embedder's variant");
    equal(index.embedder.maxTokens, 128, "the embedder's maxTokens");
    await sameHits(index, queries, minilm.hits);

    const { file, loaded, total } = seen[0];
    equal(file, "index-minilm.safetensors", "the file that is read first");
    equal(loaded > 0 && loaded <= total, true, `progress: ${loaded} of ${total}`);
    const last = seen.at(-1);
    equal(`${last.file} ${last.loaded === last.total}`, "tokenizer.json true", "progress at the end");

    const vectors = await index.vectors();
    equal(vectors.length, index.length * index.dims, "vectors");
    const [{ index: best, score }] = await index.search(queries[0], { k: 1 });
    const { vector } = await index.embedder.embed(queries[0]);
    let sum = 0;
    for (let i = 0; i < index.dims; i++) sum += vector[i] * vectors[best * index.dims + i];
    equal(Math.abs(sum - score) < 1e-6, true, `${sum} ${score}`);
    equal((await index.search(vector)).length, 5, "as many hits as none is said");
    equal((await index.search([...vector], { k: 1 }))[0].score, score, "by its vector");
    equal((await index.search(vector, { k: 0 })).length, 0, "no hits");
    equal((await index.search(vector, { k: 1e10 })).length, index.length, "all hits");
    await fails("invalid_input", () => index.search(vector, { k: 1.5 }));
    await fails("invalid_input", () => index.search(undefined));
    await fails("dimension_mismatch", () => index.search([1, 2, 3]));
    const { embedder } = index;
    index.dispose();
    index[Symbol.dispose]();
    await fails("disposed", () => index.search(vector));
    await fails("disposed", () => embedder.embed("the model is disposed of as well"));
  });

  await run("by its bytes, with a model that is loaded already, and its prompts", async () => {
    const model = await promptsModel();
    const bytes = await read(prompts.file);
    for (const source of [bytes, bytes.slice().buffer, new Blob([bytes])]) {
      const index = await iso.SearchIndex.open(source, { model });
      equal(index.variant, undefined, "variant");
      equal(`${index.queryPrompt} ${index.passagePrompt}`, "query passage", "prompts");
      equal(index.embedder, model, "the embedder");
      await sameHits(index, queries, prompts.hits);
      index.dispose();
      equal((await model.embed("it lives")).vector.length, index.dims, "the model is the caller's");
    }
    equal(bytes.length > 0, true, "the bytes are still the caller's");
    model.dispose();
  });

  await run("another model is refused before anything is searched", async () => {
    const [other] = fixtures.small;
    const bytes = { model: await read(other.model), tokenizer: await read(other.tokenizer) };
    const model = await iso.TextEmbedder.fromBytes({ spec: other.spec, ...bytes });
    const message = await fails("fingerprint_mismatch", async () =>
      iso.SearchIndex.open(await read(prompts.file), { model }),
    );
    equal(/made by prompts, fingerprint [0-9a-f]{64}; the model given has /.test(message), true, message);
    equal(message.includes(model.fingerprint), true, message);
    equal((await model.embed("it lives")).vector.length, 32, "the model is the caller's");
    model.dispose();
    // Its fingerprint is the same: a prompt that is asked for is part of the input.
    const edited = await promptsModel({ prompts: { query: "zzz: ", passage: "passage: " } });
    const why = await fails("fingerprint_mismatch", async () =>
      iso.SearchIndex.open(await read(prompts.file), { model: edited }),
    );
    equal(why.includes("prompts of the model given have other texts"), true, why);
    edited.dispose();
  });

  await run("what is no index, and what is not there", async () => {
    const model = await promptsModel();
    const open = (source) => () => iso.SearchIndex.open(source, { model });
    const bytes = await read(prompts.file);
    await fails("invalid_index", open(new Uint8Array(0)));
    await fails("invalid_index", open(bytes.slice(0, bytes.length - 1)));
    await fails("invalid_index", open(bytes.slice(0, 100)));
    await fails("invalid_index", open(Uint8Array.of(...bytes, 32)));
    const nan = bytes.slice();
    const [header] = new Uint32Array(nan.slice(0, 4).buffer);
    nan.fill(255, 8 + header, 8 + header + 4);
    await fails("invalid_index", open(nan));
    await fails("not_found", open(`${files}/made/missing.safetensors`));
    for (const wrong of [undefined, null, 3, {}, [1], new Uint16Array(9)]) {
      await fails("invalid_input", open(wrong));
    }
    await fails("invalid_input", () => iso.SearchIndex.open(bytes, { model: {} }));
    const message = await fails("not_found", () => iso.SearchIndex.open(bytes, load));
    equal(/no model is named "prompts".*"model"/.test(message), true, message);
    const signal = AbortSignal.abort();
    await fails("cancelled", () => iso.SearchIndex.open(`${files}/${minilm.file}`, { ...load, signal }));
    model.dispose();
  });
  return results;
}

/** Compares with what `isovec search --index` printed. */
async function sameHits(index, queries, expected) {
  for (const [i, query] of queries.entries()) {
    const hits = await index.search(query, { k: 4 });
    equal(hits.length, 4, query);
    for (const [rank, { index: position, score, item }] of hits.entries()) {
      const native = expected[i][rank];
      equal(position, native.index, `${query}: rank ${rank}`);
      const difference = Math.abs(score - native.score);
      equal(difference <= 1e-6, true, `${query}: a score differs by ${difference}`);
      equal(`${item.text} ${item.id}`, `${native.item.text} ${native.item.id}`, query);
    }
  }
}

async function fails(code, work) {
  try {
    await work();
  } catch (error) {
    equal(error.name, "IsovecError", String(error?.stack));
    equal(error.code, code, error.message);
    return error.message;
  }
  throw new Error(`expected ${code}`);
}

function equal(found, expected, what) {
  if (!Object.is(found, expected)) throw new Error(`${what}: ${found} instead of ${expected}`);
}
