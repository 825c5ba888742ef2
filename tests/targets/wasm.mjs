// Runs the module that run.sh builds: node wasm.mjs MODULE
import { readFileSync } from "node:fs";

const { instance } = await WebAssembly.instantiate(readFileSync(process.argv[2]), { host: { say } });

function say(text, length) {
  console.log(new TextDecoder().decode(new Uint8Array(instance.exports.memory.buffer, text, length)));
}

// A panic ends in a trap, which is an error here: what Node does not catch ends it with status 1.
instance.exports.run();
