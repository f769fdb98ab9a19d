// Scores a WAV with an exported file: `node score.js MODEL WAV` prints a JSON list.
import { readFileSync } from "node:fs";
import * as ort from "onnxruntime-node";

// The samples of a mono 16-bit WAV, as floats in [-1, 1].
function samples(path) {
  const file = readFileSync(path);
  for (let at = 12; at + 8 <= file.length; ) {
    const size = file.readUInt32LE(at + 4);
    if (file.toString("latin1", at, at + 4) === "data") {
      const found = new Float32Array(size / 2);
      return found.map((_, index) => file.readInt16LE(at + 8 + 2 * index) / 32768);
    }
    at += 8 + size + (size % 2);
  }
  throw new Error(`${path}: no audio in it`);
}

const [model, wav] = process.argv.slice(2);
const audio = samples(wav);
const session = await ort.InferenceSession.create(model, { intraOpNumThreads: 1 });
const { scores } = await session.run({ audio: new ort.Tensor("float32", audio, [1, audio.length]) });
console.log(JSON.stringify(Array.from(scores.data)));
