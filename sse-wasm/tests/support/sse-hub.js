// The program sse-hub as a subject: the path in SSE_HUB.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { within } from './stream.js';

export async function startHub(token) {
  const program = process.env.SSE_HUB;
  if (!program) throw new Error('SSE_HUB is not set: give it the path of a built sse-hub (tests/run js does)');
  const home = mkdtempSync(join(tmpdir(), 'sse-hub-'));
  const config = join(home, 'hub.toml');
  writeFileSync(config, '[[tasks]]\nname = "job"\nworker = true\n');
  const child = spawn(program, ['--listen', '127.0.0.1:0', '--config', config, '--heartbeat', '1s', '--set', 'timers.write_stall=3s'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, SSE_HUB_TOKEN: token, SSE_HUB_LOG: 'error' },
  });
  const gone = once(child, 'exit');
  const [line] = await within(once(child.stdout.setEncoding('utf8'), 'data'), 'sse-hub to listen');
  return {
    origin: /http:\/\/[^/\s]+/.exec(line)[0],
    async stop() {
      child.kill('SIGKILL');
      await gone;
      rmSync(home, { recursive: true });
    },
  };
}
