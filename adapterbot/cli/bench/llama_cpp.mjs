// llama.cpp by node-llama-cpp, for `adapterbot bench`: one job a line on standard input, one answer a line.
//
//   node llama_cpp.mjs node_modules/node-llama-cpp FILE.gguf THREADS ROWS CONTEXT
//   {"do": "prefill", "rows": 1, "prompt": 150}               -> {"seconds": 1.2}
//   {"do": "decode", "rows": 8, "prompt": 16, "tokens": 32}   -> {"seconds": 3.4}

import path from "node:path";
import readline from "node:readline";
import { pathToFileURL } from "node:url";

const [folder, file, threads, rows, size] = process.argv.slice(2);
const { getLlama } = await import(pathToFileURL(path.join(folder, "dist", "index.js")).href);
const llama = await getLlama({ gpu: false, build: "never", maxThreads: Number(threads), progressLogs: false, logLevel: "error" });
const model = await llama.loadModel({ modelPath: file });
const context = await model.createContext({
    sequences: Number(rows),
    contextSize: Number(size),
    batchSize: 512,
    threads: { ideal: Number(threads), min: Number(threads) },
});
const sequences = Array.from({ length: Number(rows) }, () => context.getSequence());

// The same token ids as ours: which they are changes nothing of the time.
const vocabulary = 20000;
const ids = (row, count) => Array.from({ length: count }, (_, i) => 1000 + ((row * 997 + i * 31) % vocabulary));

async function grow(sequence, last, count) {
    let made = 0;
    for await (const _ of sequence.evaluate([last], { temperature: 0, yieldEogToken: true }))
        if (++made >= count) break;
    return made;
}

async function work({ do: what, rows, prompt, tokens }) {
    const used = sequences.slice(0, rows);
    for (const sequence of used) await sequence.clearHistory();
    const started = performance.now();
    await Promise.all(used.map((sequence, row) => sequence.evaluateWithoutGeneratingNewTokens(ids(row, prompt))));
    if (what === "prefill") return { seconds: (performance.now() - started) / 1000 };
    const begun = performance.now();
    await Promise.all(used.map((sequence) => grow(sequence, 1000, tokens)));
    return { seconds: (performance.now() - begun) / 1000 };
}

console.log(JSON.stringify({ threads: context.currentThreads }));
for await (const line of readline.createInterface({ input: process.stdin })) {
    try {
        console.log(JSON.stringify(await work(JSON.parse(line))));
    } catch (error) {
        console.log(JSON.stringify({ error: String(error.message ?? error) }));
    }
}
process.exit(0);
