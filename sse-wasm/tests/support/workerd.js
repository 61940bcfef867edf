// The Worker in the real workerd, by miniflare.
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

// Another one than the installed: see newest/run.js.
const { Miniflare } = await import(process.env.MINIFLARE ?? 'miniflare');

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

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
    const response = await fetch(`${url.origin}/test/${name}/${verb}?${query}`);
    if (!response.ok) throw new Error(await response.text());
    return response.json();
  };
  return { origin: url.origin, call, miniflare, stop: () => miniflare.dispose() };
}
