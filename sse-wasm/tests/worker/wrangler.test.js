// The example, as its user runs it.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { idOf, open, request, within } from '../support/stream.js';

const tests = join(dirname(fileURLToPath(import.meta.url)), '..');
const TOKEN = '0123456789abcdef-wrangler';
const env = {
  ...process.env,
  CI: 'true',
  WRANGLER_SEND_METRICS: 'false',
  WRANGLER_SEND_ERROR_REPORTS: 'false',
  CLOUDFLARE_CF_FETCH_ENABLED: 'false',
};

describe('examples/worker', () => {
  let home;
  const wrangler = join(tests, 'node_modules/wrangler/bin/wrangler.js');
  before(() => {
    home = mkdtempSync(join(tmpdir(), 'sse-example-'));
    cpSync(join(tests, '../examples/worker'), home, { recursive: true });
    symlinkSync(join(tests, 'node_modules'), join(home, 'node_modules'));
  });
  after(() => rmSync(home, { recursive: true, force: true }));

  test('can be deployed', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [wrangler, 'deploy', '--dry-run', '--outdir', 'dist'], { cwd: home, env });
    assert.match(stdout, /env\.SSE_HUB \(SseHub\)/);
    assert.match(stdout, /env\.QUIET_HUB \(QuietHub\)/);
    assert.ok(readdirSync(join(home, 'dist')).some((file) => file.endsWith('.wasm')));
  });

  test('runs under wrangler dev', async () => {
    const options = ['--local', '--ip', '127.0.0.1', '--port', '0', '--show-interactive-dev-session=false'];
    const child = spawn(process.execPath, [wrangler, 'dev', ...options, '--var', `SSE_HUB_TOKEN:${TOKEN}`], {
      cwd: home,
      env,
      stdio: ['ignore', 'pipe', 'ignore'],
      detached: true,
    });
    try {
      const origin = await within(readyOn(child.stdout), 'wrangler dev to be ready');
      const base = `${origin}/sse/`;
      const stream = await open(`${base}events?client=ann_1`);
      await stream.next();
      const headers = { authorization: `Bearer ${TOKEN}` };
      const answer = await request(`${base}publish`, { method: 'POST', headers, body: '{"to":"all","data":"hello"}' });
      const { id } = await answer.json();
      assert.equal(await stream.next(), `data:hello\nid:${id}\n\n`);
      await request(`${base}submit-task/ann_1/greet`, { method: 'PUT', body: '{"name":"Ann"}' });
      assert.match(await stream.next(), /^event:progress\ndata:.*"percent":50/);
      const done = await stream.next();
      assert.match(done, /^event:completed\ndata:.*"result":\{"greeting":"hello, Ann"\}/);
      assert.ok(idOf(done));
      stream.close();

      const quiet = `${origin}/quiet/`;
      const silent = await open(`${quiet}events?topic=news`);
      await silent.next();
      const published = await request(`${quiet}publish`, { method: 'POST', headers, body: '{"to":{"topic":"news"},"data":"at last"}' });
      assert.equal(await silent.next(), `data:at last\nid:${(await published.json()).id}\n\n`);
      silent.close();
    } finally {
      // The group of the process that was started here: wrangler and its workerd, which would wait for open streams.
      process.kill(-child.pid, 'SIGKILL');
      await once(child, 'exit');
    }
  });
});

/** The address that wrangler says it is ready on. */
function readyOn(output) {
  let text = '';
  return new Promise((resolve, reject) => {
    output.setEncoding('utf8').on('data', (part) => {
      text += part;
      const [, origin] = /Ready on (http:\/\/\S+)/.exec(text) ?? [];
      if (origin) resolve(origin);
    });
    output.once('end', () => reject(new Error(`wrangler dev ended: ${text}`)));
  });
}
