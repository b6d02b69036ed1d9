// Runs the `main` of a module built for wasm32-unknown-unknown, as a web page would: `node .ci/wasm.mjs FILE.wasm`.
import { readFileSync } from "node:fs";
import { exit } from "node:process";

// Of all that a module could ask its page for, the program may only need the date, which saved models bear. (A real page
// has these functions from wasm-bindgen; their names end in a hash.)
const give = (name) =>
  name.includes("_now_") ? () => Date.now() : () => { throw new Error(`${name} was called`); };
const functions = new Proxy({}, { get: (_, name) => give(String(name)) });
const imports = new Proxy({}, { get: () => functions });

const { instance } = await WebAssembly.instantiate(readFileSync(process.argv[2]), imports);
const status = instance.exports.main(0, 0);
console.log(`main returned ${status}`);
exit(status);
