// Starts the built hub for one test file, and ends exactly that process.

import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { once } from 'node:events';

import { within } from './wait.mjs';

/** The program under test: the path in `SSE_HUB`. */
export function binary() {
  const path = process.env.SSE_HUB;
  if (!path) throw new Error('SSE_HUB is not set: give it the path of a built sse-hub (tests/run does)');
  try {
    accessSync(path, constants.X_OK);
  } catch {
    throw new Error(`SSE_HUB: ${path} is not an executable file; build it with: cargo build --release --bin sse-hub`);
  }
  return path;
}

/**
 * A running hub. `port` 0 lets it choose. Resolves once it has said where it listens; `stop` and `kill` end this process and
 * no other, and resolve when it is gone.
 */
export async function startHub({ port = 0, args = [], env = {} } = {}) {
  const child = spawn(binary(), ['--listen', `127.0.0.1:${port}`, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  let log = '';
  child.stderr.on('data', (chunk) => { log = (log + chunk).slice(-20_000); });
  const gone = new Promise((resolve) => { child.once('close', resolve); });

  const end = async (signal) => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await within(15_000, gone, `the hub (process ${child.pid}) to end after ${signal}\n${log}`);
    return child.exitCode;
  };

  let origin;
  try {
    origin = await within(15_000, listening(child), 'the line "listening on http://…" from the hub');
  } catch (error) {
    await end('SIGKILL');
    throw new Error(`${error.message}\nwhat the hub logged:\n${log || '(nothing)'}`);
  }
  return {
    origin,
    base: `${origin}/sse/`,
    port: Number(new URL(origin).port),
    pid: child.pid,
    log: () => log,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
  };
}

async function listening(child) {
  let out = '';
  for (;;) {
    const newline = out.indexOf('\n');
    if (newline >= 0) {
      const line = out.slice(0, newline).trim();
      const match = /^listening on (http:\/\/\S+?)\/?$/.exec(line);
      if (!match) throw new Error(`the first line on stdout was ${JSON.stringify(line)}`);
      child.stdout.resume();
      return match[1];
    }
    const [chunk] = await Promise.race([
      once(child.stdout, 'data'),
      once(child, 'close').then(([code, signal]) => { throw new Error(`the hub ended before it listened (${signal ?? `exit code ${code}`})`); }),
      once(child, 'error').then(([error]) => { throw error; }),
    ]);
    out += chunk;
  }
}

/** A request that must succeed; gives the body, parsed where it is JSON. */
export async function ask(hub, method, path, body) {
  const response = await fetch(hub.base + path, {
    method,
    headers: body === undefined ? {} : { 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path} → ${response.status} ${text}`);
  return response.headers.get('content-type')?.startsWith('application/json') ? JSON.parse(text) : text;
}
