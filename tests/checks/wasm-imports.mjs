// What a module asks of its host: only modules that are allowed, so never `env`, which is what a missing symbol or a clock or randomness
// by the back door become. With `--run EXPORT` it is also made to run.
//
//     node tests/checks/wasm-imports.mjs MODULE.wasm [--run EXPORT] [ALLOWED_MODULE...]
import { readFileSync } from "node:fs";

let [file, ...allowed] = process.argv.slice(2);
let run;
if (allowed[0] === "--run") [, run, ...allowed] = allowed;
const module = new WebAssembly.Module(readFileSync(file));
const unwanted = WebAssembly.Module.imports(module).filter(({ module }) => !allowed.includes(module));
for (const { module, name, kind } of unwanted) console.error(`${file} imports the ${kind} "${name}" from "${module}"`);
if (unwanted.length > 0) process.exit(1);
if (run !== undefined) {
    const answer = new WebAssembly.Instance(module, {}).exports[run]();
    if (answer !== 1) {
        console.error(`${run}() answers ${answer}, not 1`);
        process.exit(1);
    }
}
console.log(`${file} imports ${allowed.length === 0 ? "nothing" : `from ${allowed.join(", ")} only`}`);
