// What ours has beyond the standard, in Node.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { EventSource, SseError } from 'sse-wasm/client';

import { holds, until, within } from '../../../tests/hosts/support/wait.mjs';
import { play } from './support/scenarios.js';
import { startServer } from './support/server.js';

let server;
before(async () => { server = await startServer(); });
after(() => server?.stop());

const HOLD = { hold: true };
const HELLO = { body: 'data: hello\n\n', hold: true };
const SOON = { first: 20, jitter: 0 };

/** A source for a script, with what was told of it; closed when the test ends. */
function follow(t, script, options = {}) {
  const token = crypto.randomUUID();
  const source = new EventSource(play(server.origin, script, token), options);
  t.after(() => source.close());
  const seen = [];
  for (const type of ['open', 'message', 'error']) {
    source.addEventListener(type, (event) => seen.push(event.data === undefined ? [type, event.code].filter(Boolean).join(' ') : event.data));
  }
  const errors = [];
  source.addEventListener('error', (event) => errors.push(event));
  return { source, seen, errors, requests: () => server.requests(token), open: () => server.open(token) };
}

test('headers, method and body, at every attempt', async (t) => {
  let made = 0;
  const options = { method: 'POST', headers: { 'x-test': 'yes', accept: 'text/event-stream, */*' }, body: () => `body ${made += 1}`, retry: SOON };
  const { requests } = follow(t, [{}, HOLD], options);
  await until(() => requests().length === 2, 'it asked again');
  assert.deepEqual(requests().map(({ method, sent, headers }) => [method, sent, headers['x-test'], headers.accept]), [
    ['POST', 'body 1', 'yes', 'text/event-stream, */*'], ['POST', 'body 2', 'yes', 'text/event-stream, */*'],
  ]);
});

test('lastEventId begins behind an event of an earlier life, and what cannot be one is refused', async (t) => {
  const { source, seen, requests } = follow(t, [HELLO], { lastEventId: 'é7' });
  assert.equal(source.lastEventId, 'é7');
  await until(() => seen.includes('hello'), 'it is open');
  assert.equal(Buffer.from(requests()[0].headers['last-event-id'], 'latin1').toString(), 'é7');
  assert.throws(() => new EventSource(server.origin, { lastEventId: 'a\nb' }), { code: 'invalid-field' });
  for (const [options, field] of [
    [{ liveness: 'soon' }, 'liveness'],
    [{ timeout: 'soon' }, 'timeout'],
    [{ retry: { first: 'soon' } }, 'retry.first'],
    [{ retry: { attempts: NaN } }, 'retry.attempts'],
    [{ fetch: 'mine' }, 'fetch'],
    [{ signal: true }, 'signal'],
  ]) {
    assert.throws(() => new EventSource(server.origin, options), { code: 'invalid-option', field });
  }
});

test('retry: 429 and 5xx are tried again where that is asked for, not before Retry-After', async (t) => {
  const script = [{ status: 503 }, { status: 429, headers: { 'retry-after': '1' } }, HELLO];
  const { seen, errors, requests } = follow(t, script, { retry: { ...SOON, statuses: true } });
  await until(() => seen.includes('hello'), 'it is open');
  assert.deepEqual(seen, ['error status', 'error status', 'open', 'hello']);
  assert.deepEqual(errors.map(({ status, delay }) => [status, delay]), [[503, 50], [429, 1000]]);
  assert.ok(requests()[2].at - requests()[1].at >= 999);
});

test('retry: Retry-After as a date', async (t) => {
  const { errors } = follow(t, [{ status: 503, headers: { 'retry-after': new Date(Date.now() + 60_000).toUTCString() } }],
    { retry: { ...SOON, statuses: true } });
  await until(() => errors.length, 'an error');
  assert.ok(errors[0].delay > 50_000 && errors[0].delay <= 60_000, `${errors[0].delay} ms`);
});

test('retry: waits double up to the ceiling, and end after so many attempts', async (t) => {
  const { source, errors, requests } = follow(t, [{ status: 500 }],
    { retry: { first: 10, shortest: 10, ceiling: 25, jitter: 0, attempts: 4, statuses: true } });
  await assert.rejects(async () => { for await (const _ of source); }, (error) => error instanceof SseError && error.code === 'attempts');
  assert.deepEqual(errors.map(({ code, delay }) => [code, delay]), [['status', 10], ['status', 20], ['status', 25], ['attempts', undefined]]);
  assert.match(errors[3].message, /500/);
  assert.equal(requests().length, 4);
});

test('liveness: a silent stream is left and asked for again; comments are life', async (t) => {
  const { errors, open, requests } = follow(t, [HOLD], { liveness: 300, retry: SOON });
  const beat = setInterval(() => open().forEach((response) => response.write(':\n')), 50);
  t.after(() => clearInterval(beat));
  await until(() => open().length, 'it is open');
  await holds(() => errors.length === 0, 'comments keep it', 600);
  clearInterval(beat);
  await until(() => errors.length, 'it noticed the silence');
  assert.equal(errors[0].code, 'silent');
  await until(() => requests().length === 2 && open().length === 1, 'it left the old connection and asked again');
});

test('timeout: a server that does not answer', async (t) => {
  const source = new EventSource('http://silent.test/', {
    timeout: 60, retry: { attempts: 1 }, fetch: (_, { signal }) => new Promise((_, reject) => { signal.onabort = () => reject(signal.reason); }),
  });
  t.after(() => source.close());
  const event = await within(5000, new Promise((resolve) => { source.onerror = resolve; }), 'an error');
  assert.deepEqual([event.code, source.readyState], ['attempts', 2]);
});

test('reconnect: false for one answer: its end is the end of the iteration', async (t) => {
  const { source, errors, requests } = follow(t, [{ body: 'data: a\n\ndata: b\n\n' }], { reconnect: false });
  const found = [];
  for await (const { data } of source) found.push(data);
  assert.deepEqual([found, source.readyState, errors[0].code, requests().length], [['a', 'b'], 2, 'ended', 1]);
});

test('iteration: events across connections; leaving the loop leaves the source open', async (t) => {
  const { source } = follow(t, [{ body: 'id: 1\ndata: a\n\n' }, { body: 'event: x\ndata: b\n\n', hold: true }], { retry: SOON });
  const found = [];
  for await (const event of source) {
    found.push(event);
    if (found.length === 2) break;
  }
  assert.deepEqual(found, [{ type: 'message', data: 'a', lastEventId: '1' }, { type: 'x', data: 'b', lastEventId: '1' }]);
  assert.equal(source.readyState, 1);
  source.close();
  for await (const _ of source) assert.fail('it is closed');
});

test('iteration: an answer that is not tried again is thrown, and 204 is an end', async (t) => {
  const bad = follow(t, [{ status: 404 }]).source;
  await assert.rejects(async () => { for await (const _ of bad); }, { code: 'status', status: 404 });
  for await (const _ of follow(t, [{ status: 204 }]).source) assert.fail('there is nothing');
});

test('iteration: who does not take holds the connection back, and loses nothing', async (t) => {
  const event = new TextEncoder().encode('data: x\n\n');
  let made = 0;
  const source = new EventSource('http://endless.test/', {
    fetch: async () => new Response(new ReadableStream({ pull(controller) { made += 1; controller.enqueue(event); } }), { headers: { 'content-type': 'text/event-stream' } }),
    liveness: 50,
  });
  t.after(() => source.close());
  const iterator = source[Symbol.asyncIterator]();
  await until(() => made > 256, 'events wait');
  const then = made;
  await holds(() => made === then && source.readyState === 1, 'no more is read, and the silence is nobody’s fault', 300);
  for (let taken = 0; taken < 1000; taken++) assert.equal((await iterator.next()).value.data, 'x');
  assert.ok(made > 1000 && made < 1400, `${made} events were read for 1000`);
});

test('a signal closes it; so does `using`; nothing is left at the server', async (t) => {
  const controller = new AbortController();
  const { source, open, seen } = follow(t, [HELLO], { signal: controller.signal });
  await until(() => seen.includes('hello'), 'it is open');
  controller.abort();
  assert.equal(source.readyState, 2);
  await until(() => open().length === 0, 'the connection is gone');
  assert.deepEqual(seen, ['open', 'hello']);
  assert.equal(new EventSource(server.origin, { signal: AbortSignal.abort() }).readyState, 2);
  const second = follow(t, [HOLD]).source;
  await second[Symbol.asyncDispose]?.();
  if (Symbol.asyncDispose) assert.equal(second.readyState, 2);
});

test('what is over a limit is told, and the stream goes on', async (t) => {
  const lost = [];
  const { source, seen } = follow(t, [{ body: 'data: 0123456789\n\ndata: b\n\n', hold: true }], { maxEvent: 4, onLost: (error) => lost.push(error.code) });
  await until(() => seen.length === 2, 'the next event came');
  assert.deepEqual([lost, seen, source.readyState], [['event-too-long'], ['open', 'b'], 1]);
});

test('remember: an event that a server repeats after a reconnection is given once', async (t) => {
  const script = [{ body: 'id: 1\ndata: a\n\nid: 2\ndata: b\n\n' }, { body: 'id: 2\ndata: b\n\nid: 3\ndata: c\n\n', hold: true }];
  const { seen } = follow(t, script, { remember: 16, retry: SOON });
  await until(() => seen.includes('c'), 'the last event came');
  assert.deepEqual(seen, ['open', 'a', 'b', 'error ended', 'open', 'c']);
});

test('comments and retry are reported where they are asked for', async (t) => {
  const told = [];
  const { seen } = follow(t, [{ body: ':beat\nretry: 77\ndata: a\n\n', hold: true }],
    { onComment: (text) => told.push(text), onRetry: (millis) => told.push(millis) });
  await until(() => seen.includes('a'), 'the event came');
  assert.deepEqual(told, ['beat', 77]);
});

test('closing in a listener of open ends it there', async (t) => {
  const { source, seen, open } = follow(t, [HELLO]);
  source.addEventListener('open', () => source.close());
  await until(() => source.readyState === 2, 'it closed');
  await until(() => open().length === 0, 'the connection is gone');
  assert.deepEqual(seen, ['open']);
});
