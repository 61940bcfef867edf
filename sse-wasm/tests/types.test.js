// The declarations as a program's compiler takes them: strictly, and with nothing skipped. The programs use the API as the README shows
// it; what they use wrongly must be refused.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const tests = dirname(fileURLToPath(import.meta.url));
const compiler = join(tests, 'node_modules/typescript/bin/tsc');
const OPTIONS = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--noUnusedLocals', '--module', 'nodenext', '--target', 'es2022'];

/** By host: what is global there, and programs for it. */
const HOSTS = {
  Node: { globals: ['--lib', 'es2022', '--types', 'node'], programs: ['index', 'node', 'server-event-mgr', 'sse-service', 'sse-spec'] },
  Workers: { globals: ['--lib', 'es2022', '--types', '@cloudflare/workers-types'], programs: ['worker'] },
  pages: { globals: ['--lib', 'es2022,dom,dom.iterable,dom.asynciterable', '--types', ''], programs: ['client'] },
};

for (const [host, { globals, programs }] of Object.entries(HOSTS)) {
  test(`programs for ${host} compile`, async () => {
    const files = programs.map((program) => join(tests, `types/${program}.ts`));
    const { code, text } = await run([compiler, ...OPTIONS, ...globals, ...files]);
    assert.equal(code, 0, text);
  });
}

function run(args) {
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: tests }, (error, stdout, stderr) => {
      resolve({ code: error ? error.code : 0, text: stdout + stderr });
    });
  });
}
