// npm test: every test file, some at a time. They share nothing but the machine: what they need they start, on free ports.
//
//   node run.js           all of them, and those about the Worker once more with the newest workerd and the Node it needs (newest/)
//   node run.js FILE...   these
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const newest = join(here, 'newest/node_modules');

const OF_THE_WORKER = ['worker/evicted', 'worker/crowd', 'worker/object', 'worker/hibernate', 'conformance/worker'];
/** Those that take longest, to begin with. */
const LONGEST = [...OF_THE_WORKER, 'client/server-event-client', 'client/shared-source'];
/** How long a file may take, in milliseconds: several times what the slowest does. */
const PATIENCE = 300_000;
const ENDING = '.test.js';

const given = process.argv.slice(2);
/** Most of the time they wait. Those for the newest workerd come last: beside all others they had too little time. */
const atOnce = (given.length > 0 ? 1 : 2) * availableParallelism();
if (given.length > 0) {
  test(given);
} else {
  const rest = ['.', 'client', 'compat', 'conformance', 'worker'].flatMap(filesIn).filter((file) => !LONGEST.includes(file));
  await test([...LONGEST, ...rest].map(fileOf));
  const { status, text } = await runNewest();
  process.stdout.write(`\nwith the newest workerd:\n${text}`);
  process.exitCode ||= status;
}

function test(files) {
  const results = run({ files, concurrency: atOnce, timeout: PATIENCE });
  results.on('test:fail', () => (process.exitCode = 1));
  const shown = results.compose(new spec());
  shown.pipe(process.stdout, { end: false });
  return once(shown, 'end');
}

async function runNewest() {
  const node = join(newest, `node-${process.platform}-${process.arch}/bin/node`);
  if (!existsSync(node)) throw new Error(`there is no Node at ${node}: npm ci --force in newest/ installs one, for Linux on x64 and arm64`);
  const env = { ...process.env, MINIFLARE: join(newest, 'miniflare/dist/src/index.js') };
  const child = spawn(node, [fileURLToPath(import.meta.url), ...OF_THE_WORKER.map(fileOf)], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part) => (text += part));
  const [status] = await once(child, 'close');
  return { status: status ?? 1, text };
}

/** The test files of a folder, without what they all end in. */
function filesIn(folder) {
  const names = readdirSync(join(here, folder)).filter((name) => name.endsWith(ENDING));
  return names.map((name) => join(folder, name.slice(0, -ENDING.length)));
}

function fileOf(name) {
  return join(here, name + ENDING);
}
