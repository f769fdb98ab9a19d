// Asks for the labels of recordings: `node classify.js URL TOKEN FILE...` prints a JSON list of
// what each was answered. Only the endpoint is another than Hugging Face's own.
import { readFileSync } from "node:fs";
import { InferenceClient } from "@huggingface/inference";

const [endpointUrl, token, ...paths] = process.argv.slice(2);
const client = new InferenceClient(token, { endpointUrl });

// The labels, or what the client makes of a refusal.
async function labels(path) {
  try {
    return await client.audioClassification({ data: new Blob([readFileSync(path)]) });
  } catch (error) {
    return { status: error.httpResponse?.status, error: error.httpResponse?.body?.error };
  }
}

console.log(JSON.stringify(await Promise.all(paths.map(labels))));
