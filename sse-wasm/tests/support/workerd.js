// The Worker in the real workerd, by miniflare.
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

import { request, until } from './stream.js';

// Another one than the installed: see run.js.
const { Miniflare } = await import(process.env.MINIFLARE ?? 'miniflare');

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** What hosts notice only at a heartbeat, and peers that take nothing, are soon noticed. */
export const TIMES = { heartbeat: 1000, writeStall: 3000 };

/** Either way to hold streams. */
export const BOTH = [
  { how: 'holds its streams', options: TIMES },
  { how: 'hibernates', options: { ...TIMES, hibernate: true } },
];

/**
 * In milliseconds: workerd evicts an object that nobody asks for ten seconds, no option makes it less, and for one second after it was
 * asked the object waits itself.
 */
export const EVICTED_AFTER = 11_500;

/** Leaves an object alone until it was evicted, which can be asked only once it is awake again: `wake` is called before that. */
export async function evict(worker, name, wake = async () => {}) {
  const before = await worker.call(name, 'instance');
  // workerd that is not given the processor sees its time pass and the next request at once; then it is given more time.
  for (let times = 1; times <= 3; times++) {
    await new Promise((resolve) => setTimeout(resolve, times * EVICTED_AFTER));
    await wake();
    if ((await worker.call(name, 'instance')) !== before) return;
  }
  throw new Error(`workerd did not evict ${name}`);
}

/**
 * Has a stream that takes nothing, and publishes more for it than it may have at once; `end` is what becomes of it. Others publish: a Worker
 * that asked an object by RPC keeps it in memory until its own garbage is collected.
 */
export async function takeNothing(worker, publish) {
  const usage = () => worker.call('hub', 'usage');
  const { connections } = await usage();
  const end = worker.call('hub', 'takeNothing');
  await until(async () => (await usage()).connections === connections + 1, 'the stream is open');
  for (let event = 0; event < 20; event++) {
    await publish(worker.origin, { to: { topic: 'untaken' }, data: 'x'.repeat(20_000) });
  }
  return { end };
}

/** Bundles a Worker as wrangler does: wasm files stay modules of their own. */
export async function bundle(entry, plugins = []) {
  const wasm = new Map();
  const modules = {
    name: 'wasm',
    setup({ onResolve }) {
      onResolve({ filter: /\.wasm$/ }, ({ path, resolveDir }) => {
        wasm.set(basename(path), join(resolveDir, path));
        return { path: `./${basename(path)}`, external: true };
      });
    },
  };
  const { outputFiles } = await build({
    entryPoints: [join(root, entry)],
    bundle: true,
    write: false,
    format: 'esm',
    conditions: ['workerd', 'worker', 'browser'],
    external: ['cloudflare:*', 'node:*'],
    plugins: [...plugins, modules],
  });
  return [
    { type: 'ESModule', path: 'worker.js', contents: outputFiles[0].text },
    ...[...wasm].map(([path, file]) => ({ type: 'CompiledWasm', path, contents: readFileSync(file) })),
  ];
}

/** Starts the fixture. `persist` is a folder that outlives it. */
export async function startWorker({ token, options = {}, persist, plugins, port = 0 } = {}) {
  const miniflare = new Miniflare({
    modules: await bundle('worker/fixture.js', plugins),
    modulesRoot: '/',
    compatibilityDate: '2026-04-01',
    compatibilityFlags: ['enable_request_signal'],
    durableObjects: { SSE_HUB: { className: 'TestHub', useSQLite: true } },
    durableObjectsPersist: persist,
    bindings: { TOKEN: token, OPTIONS: JSON.stringify(options) },
    host: '127.0.0.1',
    port,
  });
  const url = await miniflare.ready;
  const call = async (name, verb, ...args) => {
    const query = `args=${encodeURIComponent(JSON.stringify(args))}`;
    const response = await request(`${url.origin}/test/${name}/${verb}?${query}`);
    if (!response.ok) throw new Error(await response.text());
    return response.json();
  };
  return { origin: url.origin, call, miniflare, stop: () => miniflare.dispose() };
}
