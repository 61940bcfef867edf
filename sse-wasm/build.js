// Builds the package: `npm run build` leaves dist/sse-wasm-VERSION.tgz and the size table, and fails where a size limit is passed.
//
//   cargo build   one wasm file for each artifact      (sse-wasm/src, features `hub` and `decoder`)
//   bindgen       the JavaScript around it             (sse-wasm/bindgen)
//   wasm-opt                                           (binaryen from npm)
//   npm pack      what is published, and what tests unpack
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { buildSync, transformSync } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const generated = join(here, 'js/wasm');
const dist = join(here, 'dist');

/** What an importer loads, wasm and JavaScript together, in bytes after gzip. */
const LIMITS = [
  { what: 'engine and codec: wasm and glue', files: /^js\/wasm\//, limit: 88 * 1024 },
  { what: 'decoder alone: wasm and glue', files: /^js\/wasm\/decoder/, limit: 20 * 1024 },
];

/** What a page loads that imports so much of `sse-wasm/client`: as a bundler makes it, with the wasm file, in bytes after gzip. */
const CLIENT_LIMITS = [
  { names: 'events', limit: 22 * 1024 },
  { names: 'EventSource', limit: 24 * 1024 },
  { names: '*', limit: 27 * 1024 },
];

/**
 * How each artifact is compiled. The hub is for size; the decoder for speed, with the vectors that every supported host has: 2.5 times as
 * fast as for size, and gzipped no larger.
 */
const ARTIFACTS = [
  { artifact: 'hub', level: 'z', vectors: [], trim: [], optimize: ['-Oz', '--one-caller-inline-max-function-size=1'] },
  { artifact: 'decoder', level: '3', vectors: ['-Ctarget-feature=+simd128'], trim: ['trim-data'], optimize: ['-O3'] },
];

for (const artifact of ARTIFACTS) build(artifact);
const report = sizes();
mkdirSync(dist, { recursive: true });
for (const old of readdirSync(dist)) rmSync(join(dist, old), { recursive: true });
for (const license of ['LICENSE-MIT', 'LICENSE-APACHE']) copyFileSync(join(here, '..', license), join(here, license));
run('npm', ['pack', '--silent', '--pack-destination', dist], here);
const held = [...LIMITS.map((limit) => check(limit, report)), ...CLIENT_LIMITS.map(checkClient)];
if (held.includes(false)) process.exit(1);

function build({ artifact, level, vectors, trim, optimize }) {
  const target = JSON.parse(output('cargo', ['metadata', '--no-deps', '--format-version', '1', '--locked'])).target_directory;
  const features = ['--no-default-features', '--features', artifact];
  // Two pages of memory to begin with instead of seventeen; data that can be told apart, for what bindgen takes out.
  const flags = ['-Clink-arg=-zstack-size=65536', '-Clink-arg=--no-merge-data-segments', `--remap-path-prefix=${homedir()}=~`, ...vectors];
  const env = { ...process.env, CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS: flags.join(' '), CARGO_PROFILE_WASM_OPT_LEVEL: level };
  const profile = ['--profile', 'wasm', '--target', 'wasm32-unknown-unknown', '--locked'];
  run('cargo', ['build', '-p', 'sse-wasm', ...profile, ...features], here, env);
  const wasm = join(target, 'wasm32-unknown-unknown/wasm/sse_wasm.wasm');
  run('cargo', ['run', '-q', '--locked', '-p', 'sse-wasm-bindgen', '--', wasm, generated, artifact, ...trim], here);
  const from = join(generated, `${artifact}_bg.wasm`);
  const wasmOpt = join(here, 'node_modules/binaryen/bin/wasm-opt');
  run(process.execPath, [wasmOpt, ...optimize, from, '-o', join(generated, `${artifact}.wasm`)], here);
  rmSync(from);
  // The generator's own comments are longer than its code.
  const glue = join(generated, `${artifact}.js`);
  writeFileSync(glue, transformSync(readFileSync(glue, 'utf8'), { minify: true, format: 'esm' }).code);
}

/** Every file of the package with its sizes. */
function sizes() {
  return filesBelow(join(here, 'js')).map((path) => {
    const bytes = readFileSync(path);
    return { file: relative(here, path), bytes: bytes.length, gzip: gzipSync(bytes, { level: 9 }).length };
  });
}

function check({ what, files, limit }, report) {
  const rows = report.filter(({ file }) => files.test(file) && /\.(js|wasm)$/.test(file));
  for (const { file, bytes, gzip } of rows) console.log(`  ${file.padEnd(28)} ${row(bytes, gzip)}`);
  const gzip = rows.reduce((sum, { gzip }) => sum + gzip, 0);
  const is = rows.length > 0 && gzip <= limit;
  console.log(`${what}: ${gzip} bytes gzipped, at most ${limit}: ${is ? 'held' : 'PASSED'}`);
  return is;
}

function checkClient({ names, limit }) {
  const contents = `export ${names === '*' ? '*' : `{ ${names} }`} from './js/client.js'`;
  const options = { bundle: true, minify: true, format: 'esm', write: false, conditions: ['browser'] };
  const [{ contents: script }] = buildSync({ stdin: { contents, resolveDir: here }, ...options }).outputFiles;
  const [js, wasm] = [script, readFileSync(join(generated, 'decoder.wasm'))].map((bytes) => gzipSync(bytes, { level: 9 }).length);
  const is = js + wasm <= limit;
  console.log(`import { ${names} } from sse-wasm/client: ${js} and ${wasm} bytes gzipped, together at most ${limit}: ${is ? 'held' : 'PASSED'}`);
  return is;
}

function row(bytes, gzip) {
  return `${String(bytes).padStart(7)} bytes ${String(gzip).padStart(6)} gzipped`;
}

function filesBelow(folder) {
  return readdirSync(folder).sort().flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? filesBelow(path) : [path];
  });
}

function output(command, args) {
  return execFileSync(command, args, { cwd: here, encoding: 'utf8', maxBuffer: 1 << 26 });
}

function run(command, args, cwd, env = process.env) {
  execFileSync(command, args, { cwd, env, stdio: 'inherit' });
}
