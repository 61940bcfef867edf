// The client in Deno and in Bun: the files that test it in Node, run by these hosts' own test runners.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { bun, deno } from '../support/binaries.js';

const here = dirname(fileURLToPath(import.meta.url));
const FILES = ['vectors.test.js', 'events.test.js', 'event-source.test.js'];

const HOSTS = {
  Deno: [deno, ['test', '--no-check', '--node-modules-dir=manual', '--allow-read', '--allow-net', '--allow-env'], /(\d+) passed/],
  Bun: [bun, ['test', '--timeout=120000'], /(\d+) pass\n/],
};

for (const [host, [program, args, passed]] of Object.entries(HOSTS)) {
  test(`${host}: vectors, events(), and EventSource across reconnections`, async () => {
    const { code, text } = await run(program, [...args, ...FILES.map((file) => `./client/${file}`)]);
    assert.equal(code, 0, text);
    const tests = FILES.flatMap((file) => readFileSync(join(here, file), 'utf8').match(/^test\(/gm)).length;
    assert.equal(Number(passed.exec(text)?.[1]), tests, `not every test ran:\n${text}`);
  });
}

async function run(program, args) {
  const child = spawn(program, args, { cwd: join(here, '..'), env: { ...process.env, NO_COLOR: '1' }, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  for (const out of [child.stdout, child.stderr]) out.on('data', (part) => { text += part; });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, text }));
  });
}
