// Every example is started as its user starts it, and asked.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { bun, deno } from './support/binaries.js';
import { idOf, open, request, within } from './support/stream.js';

const tests = dirname(fileURLToPath(import.meta.url));
const TOKEN = '0123456789abcdef-examples';

const EXAMPLES = [
  ['express', process.execPath, ['express.js']],
  ['fastify', process.execPath, ['fastify.js']],
  ['hono', process.execPath, ['hono.js']],
  ['deno', deno, ['run', '--node-modules-dir=manual', '--allow-net', '--allow-read', '--allow-env', 'deno.js']],
  ['bun', bun, ['run', 'bun.js']],
];

describe('examples', () => {
  let home;
  before(() => {
    home = mkdtempSync(join(tmpdir(), 'sse-examples-'));
    cpSync(join(tests, '../examples'), home, { recursive: true });
    symlinkSync(join(tests, 'node_modules'), join(home, 'node_modules'));
  });
  after(() => rmSync(home, { recursive: true, force: true }));

  for (const [name, program, args] of EXAMPLES) {
    test(name, async () => {
      const env = { ...process.env, PORT: '0', SSE_HUB_TOKEN: TOKEN };
      const child = spawn(program, args, { cwd: home, env, stdio: ['ignore', 'pipe', 'inherit'], detached: true });
      const gone = once(child, 'exit');
      await once(child, 'spawn');
      try {
        const line = await within(Promise.race([once(child.stdout.setEncoding('utf8'), 'data'), gone]), `${name} to listen`, 60_000);
        const [origin] = /http:\/\/\S+/.exec(line[0]) ?? assert.fail(`${name} said ${line}`);
        const stream = await open(`${origin}/sse/events?topic=orders`);
        await stream.next();
        const { told } = await (await request(`${origin}/orders`, { method: 'POST' })).json();
        assert.match(await stream.next(), new RegExp(`^event:order\ndata:\\{"at":\\d+\\}\nid:${told}\n\n$`));
        // By the hub's own route, whose body it reads itself.
        const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' };
        const answer = await request(`${origin}/sse/publish`, { method: 'POST', headers, body: '{"to":{"topic":"orders"},"data":{"n":1.0}}' });
        assert.equal(answer.status, 200, await answer.clone().text());
        const frame = await stream.next();
        assert.equal(frame, `data:{"n":1.0}\nid:${(await answer.json()).id}\n\n`);
        stream.close();
        const resumed = await open(`${origin}/sse/events?topic=orders`, { 'last-event-id': told });
        assert.equal(idOf(await resumed.event()), idOf(frame));
        resumed.close();
        assert.equal((await request(`${origin}/sse/publish`, { method: 'POST' })).status, 401);
      } finally {
        process.kill(-child.pid, 'SIGKILL');
        await gone;
      }
    });
  }
});
