// The declarations as a program's compiler takes them: strictly, and with nothing skipped. The programs use the API as the README shows
// it; what they use wrongly must be refused.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

const tests = dirname(fileURLToPath(import.meta.url));
const compiler = join(tests, 'node_modules/typescript/bin/tsc');
const OPTIONS = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--noUnusedLocals', '--module', 'nodenext', '--target', 'es2022'];

/** By host: what is global there, programs for it, and entries of the package. */
const HOSTS = {
  Node: {
    globals: ['--lib', 'es2022', '--types', 'node'],
    programs: ['index', 'node', 'server-event-mgr', 'sse-service', 'sse-spec'],
    entries: ['.', './node', './compat/server-event-mgr', './compat/sse-service', './compat/sse-spec'],
  },
  Workers: {
    globals: ['--lib', 'es2022', '--types', '@cloudflare/workers-types'],
    programs: ['worker'],
    entries: ['./worker'],
    // Of what is exported as a type, TypeScript counts classes and functions.
    typesOnly: ['Hub', 'createHub'],
  },
  pages: {
    globals: ['--lib', 'es2022,dom,dom.iterable,dom.asynciterable', '--types', ''],
    programs: ['client'],
    entries: ['./client'],
  },
};

for (const [host, { globals, programs }] of Object.entries(HOSTS)) {
  test(`programs for ${host} compile`, async () => {
    const files = programs.map((program) => join(tests, `types/${program}.ts`));
    const { code, text } = await run([compiler, ...OPTIONS, ...globals, ...files]);
    assert.equal(code, 0, text);
  });
}

const { exports } = JSON.parse(readFileSync(join(tests, 'node_modules/sse-wasm/package.json'), 'utf8'));
const home = mkdtempSync(join(tests, 'types/exports-'));
after(() => rmSync(home, { recursive: true }));

for (const [host, { globals, entries, typesOnly = [] }] of Object.entries(HOSTS)) {
  test(`entries for ${host} declare what they export, and nothing else`, async () => {
    const files = [];
    for (const entry of entries) {
      const names = [...(await exported(exports[entry].default)), ...typesOnly].map((name) => `${name}: true,`);
      const file = join(home, `${files.length}.ts`);
      const entryOf = `import * as all from 'sse-wasm${entry.slice(1)}';`;
      writeFileSync(file, `${entryOf} export const names: Record<keyof typeof all, true> = { ${names.join(' ')} };\n`);
      files.push(file);
    }
    const { code, text } = await run([compiler, ...OPTIONS, ...globals, ...files]);
    assert.equal(code, 0, text);
  });
}

test('every entry is among them', () => {
  const entries = Object.values(HOSTS).flatMap((host) => host.entries);
  assert.deepEqual(entries.toSorted(), Object.keys(exports).filter((entry) => entry !== './package.json').toSorted());
});

/** The names that a file of the package exports. */
async function exported(path) {
  const entryPoints = [join(tests, 'node_modules/sse-wasm', path)];
  const external = ['cloudflare:*', 'node:*', '#*'];
  const { metafile } = await build({ entryPoints, external, bundle: true, format: 'esm', write: false, metafile: true, outdir: home });
  const [{ exports: names }] = Object.values(metafile.outputs);
  // For `require`, which knows no types.
  return names.filter((name) => name !== 'module.exports');
}

function run(args) {
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: tests }, (error, stdout, stderr) => {
      resolve({ code: error ? error.code : 0, text: stdout + stderr });
    });
  });
}
