// Builds the package: `npm run build` leaves dist/sse-wasm-VERSION.tgz and the size table, and fails where a size limit is passed.
//
//   cargo build   one wasm file for each artifact      (sse-wasm/src, features `hub` and `client`)
//   bindgen       what hosts can instantiate           (sse-wasm/bindgen)
//   wasm-opt                                           (binaryen from npm)
//   npm pack      what is published, and what tests unpack
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { buildSync } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const generated = join(here, 'js/wasm');
const dist = join(here, 'dist');

/** What is loaded with each of these modules: as a bundler makes it, with its wasm files, in bytes after gzip. */
const LIMITS = [
  { what: 'engine and encoder', names: '*', from: ['./js/engine.js'], wasm: ['hub'], limit: 40 * 1024 },
  { what: 'engine and codec', names: '*', from: ['./js/engine.js', './js/decoder.js'], wasm: ['hub'], limit: 40 * 1024 },
  { what: 'client: events', names: '{ events }', from: ['./js/client.js'], wasm: [], limit: 3 * 1024 },
  { what: 'client: EventSource', names: '{ EventSource }', from: ['./js/client.js'], wasm: ['client'], limit: 12 * 1024 },
  { what: 'client: everything', names: '*', from: ['./js/client.js'], wasm: ['client'], limit: 15 * 1024 },
];

/** Small once compressed: some passes save bytes by saying in many ways what was said in one. The first page of memory is the stack's end. */
const OPTIMIZE = [
  '-Oz', '--one-caller-inline-max-function-size=1', '--converge', '--low-memory-unused', '--strip-producers', '--strip-target-features',
  ...['local-cse', 'simplify-locals', 'ssa-nomerge'].map((pass) => `--skip-pass=${pass}`), '--generate-global-effects',
];

mkdirSync(generated, { recursive: true });
for (const artifact of ['hub', 'client']) build(artifact);
mkdirSync(dist, { recursive: true });
for (const old of readdirSync(dist)) rmSync(join(dist, old), { recursive: true });
for (const license of ['LICENSE-MIT', 'LICENSE-APACHE']) copyFileSync(join(here, '..', license), join(here, license));
run('npm', ['pack', '--silent', '--pack-destination', dist], here);
if (LIMITS.map(check).includes(false)) process.exit(1);

function build(artifact) {
  const target = JSON.parse(output('cargo', ['metadata', '--no-deps', '--format-version', '1', '--locked'])).target_directory;
  const features = ['--no-default-features', '--features', artifact];
  // Two pages of memory to begin with instead of seventeen; data that can be told apart, for what bindgen takes out; and where the stack
  // stands, which a trap leaves as it was.
  const flags = ['-zstack-size=65536', '--no-merge-data-segments', '--export=__stack_pointer'].map((flag) => `-Clink-arg=${flag}`);
  flags.push(`--remap-path-prefix=${homedir()}=~`);
  const env = { ...process.env, CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS: flags.join(' ') };
  const profile = ['--profile', 'wasm', '--target', 'wasm32-unknown-unknown', '--locked'];
  const crate = ['-p', 'sse-wasm', '--lib', '--crate-type', 'cdylib'];
  run('cargo', ['rustc', ...crate, ...profile, ...features], here, env);
  const wasm = join(target, 'wasm32-unknown-unknown/wasm/sse_wasm.wasm');
  const made = join(generated, `${artifact}.wasm`);
  run('cargo', ['run', '-q', '--locked', '-p', 'sse-wasm-bindgen', '--', wasm, made], here);
  run(process.execPath, [join(here, 'node_modules/binaryen/bin/wasm-opt'), ...OPTIMIZE, made, '-o', made], here);
}

function check({ what, names, from, wasm, limit }) {
  const contents = from.map((path) => `export ${names} from '${path}';`).join('');
  const options = { bundle: true, minify: true, format: 'esm', write: false, conditions: ['browser'] };
  const [{ contents: script }] = buildSync({ stdin: { contents, resolveDir: here }, ...options }).outputFiles;
  const files = [script, ...wasm.map((name) => readFileSync(join(generated, `${name}.wasm`)))];
  const [js, ...modules] = files.map((bytes) => gzipSync(bytes, { level: 9 }).length);
  const all = modules.reduce((sum, bytes) => sum + bytes, js);
  const is = all <= limit;
  const sizes = `wasm ${modules.join(' + ') || 0}, JavaScript ${js}, together ${all}`;
  console.log(`${what}: ${sizes} bytes gzipped, at most ${limit}: ${is ? 'held' : 'PASSED'}`);
  return is;
}

function output(command, args) {
  return execFileSync(command, args, { cwd: here, encoding: 'utf8', maxBuffer: 1 << 26 });
}

function run(command, args, cwd, env = process.env) {
  execFileSync(command, args, { cwd, env, stdio: 'inherit' });
}
