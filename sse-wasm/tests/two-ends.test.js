// Numbers that stand at both ends of a call into wasm are the same.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';

const read = (path) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');

test('what a hub is asked to do', () => {
  const there = numbers(read('src/hub/verb.rs'), /^pub const (\w+): u32 = (\d+);$/gm);
  const [, names, count] = read('js/engine.js').match(/^const \[([\w,\s]+)\] = Array\((\d+)\)\.keys\(\);$/m);
  const here = new Map(names.match(/\w+/g).map((name, number) => [name, number]));
  assert.equal(Number(count), here.size);
  assert.ok(there.size > 50, `${there.size} verbs were found`);
  assert.deepEqual(here, there);
  assert.deepEqual([...new Set(there.values())], [...there.values()], 'no number is two verbs');
});

test('why it failed', () => {
  const [, kinds] = read('src/error.rs').match(/enum What \{\n([^}]*)\}/);
  const [, failures] = read('js/engine.js').match(/const FAILURES = \[\n([\s\S]*?)\n\];/);
  const count = (text) => text.trim().split('\n').length;
  assert.equal(count(failures), count(kinds));
});

function numbers(text, line) {
  return new Map([...text.matchAll(line)].map(([, name, number]) => [name, Number(number)]));
}
