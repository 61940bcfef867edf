import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SseDecoderStream, SseEncoderStream, SseError, encodeEvent, events } from 'sse-wasm';

const bytes = (text) => new TextEncoder().encode(text);

test('takes a Response, a ReadableStream, an async iterable, bytes of any kind and text', async () => {
  const all = async (source) => {
    const found = [];
    for await (const { data } of events(source)) found.push(data);
    return found;
  };
  async function* pieces() {
    yield 'data: a\n\nda';
    yield bytes('ta: b\n\n').buffer;
    yield new DataView(bytes('xxdata: c\n\nxx').buffer, 2, 9);
  }
  assert.deepEqual(await all(pieces()), ['a', 'b', 'c']);
  assert.deepEqual(await all(new Response('data: a\n\ndata: b\n\n')), ['a', 'b']);
  assert.deepEqual(await all(ReadableStream.from([bytes('data: a\n\n')])), ['a']);
  assert.deepEqual(await all(new Response(null, { status: 204 })), []);
  for (const source of ['data: a\n\n', null, undefined, 5]) assert.throws(() => events(source), { code: 'invalid-source' });
  assert.throws(() => events(new Response(''), { signal: true }), { code: 'invalid-option', field: 'signal' });
  await assert.rejects(events(ReadableStream.from([7])).next(), { code: 'invalid-chunk' });
});

test('comments and retry are reported where they are asked for', async () => {
  const told = [];
  const source = new Response(': hello\ndata: a\nretry: 250\n\n');
  for await (const { data } of events(source, { onComment: (text) => told.push(text), onRetry: (millis) => told.push(millis) })) told.push(data);
  assert.deepEqual(told, ['hello', 250, 'a']);
});

test('leaving the loop cancels the source, and so does return()', async () => {
  let cancelled = 0;
  const source = () => new ReadableStream({ pull: (controller) => controller.enqueue(bytes('data: a\n\n')), cancel() { cancelled += 1; } });
  for await (const { data } of events(source())) if (data === 'a') break;
  assert.equal(cancelled, 1);
  const iterator = events(source());
  assert.deepEqual(await iterator.return(7), { done: true, value: 7 });
  assert.equal(cancelled, 2);
  assert.deepEqual(await iterator.next(), { done: true, value: undefined });
});

test('an abort ends it with the reason, while it waits and before it begins', async () => {
  const controller = new AbortController();
  let cancelled;
  const waiting = events(new ReadableStream({ cancel(reason) { cancelled = reason; } }), { signal: controller.signal });
  const next = waiting.next();
  const reason = new Error('enough');
  controller.abort(reason);
  await assert.rejects(next, reason);
  assert.equal(cancelled, reason);
  await assert.rejects(events(new Response('data: a\n\n'), { signal: AbortSignal.abort(reason) }).next(), reason);
});

test('those who ask ahead are served in order', async () => {
  const iterator = events(ReadableStream.from([bytes('data: a\n\n'), bytes('data: b\n\ndata: c\n\n')]));
  const answers = await Promise.all([1, 2, 3, 4].map(() => iterator.next()));
  assert.deepEqual(answers.map(({ value }) => value?.data), ['a', 'b', 'c', undefined]);
});

test('what is over a limit is an error with a code, behind what came before', async () => {
  const found = [];
  const failing = async () => {
    for await (const { data } of events(new Response('data: a\n\ndata: 0123456789\n\ndata: c\n\n'), { maxLine: 12 })) found.push(data);
  };
  await assert.rejects(failing, (error) => error instanceof SseError && error.code === 'line-too-long');
  assert.deepEqual(found, ['a']);
  const piped = new Response('data: 0123456789\n\n').body.pipeThrough(new SseDecoderStream({ maxEvent: 4 }));
  await assert.rejects(piped.getReader().read(), { code: 'event-too-long' });
  for (const options of [{ maxLine: -1 }, { maxEvent: 2 ** 30 }, { maxLine: 'x' }, { maxLine: NaN }]) {
    assert.throws(() => events(new Response(''), options), { code: 'invalid-option' });
  }
  assert.throws(() => events(new Response(''), { lastEventId: 'a\nb' }), { code: 'invalid-field', field: 'lastEventId' });
});

test('SseDecoderStream: who reads nothing holds up the source, and gets everything later', async () => {
  let given = 0;
  const source = new ReadableStream({
    pull(controller) {
      given += 1;
      controller.enqueue(bytes(`data: ${given}\n\n`.repeat(100)));
      if (given === 20) controller.close();
    },
  });
  const reader = source.pipeThrough(new SseDecoderStream()).getReader();
  const { value } = await reader.read();
  assert.equal(value.data, '1');
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(given < 6, `${given} chunks were taken`);
  let count = 1;
  while (!(await reader.read()).done) count += 1;
  assert.equal(count, 2000);
});

test('SseDecoderStream: cancelling ends the source, an error and an abort reach the reader', async () => {
  const reason = new Error('enough');
  let end;
  const ended = new Promise((resolve) => (end = resolve));
  const endless = new ReadableStream({ pull: (controller) => controller.enqueue(bytes('data: a\n\n'.repeat(100))), cancel: end });
  const reader = endless.pipeThrough(new SseDecoderStream()).getReader();
  await reader.read();
  await reader.cancel(reason);
  assert.equal(await ended, reason);

  const broken = new ReadableStream({ pull: (controller) => controller.error(reason) });
  await assert.rejects(broken.pipeThrough(new SseDecoderStream()).getReader().read(), reason);

  const { readable, writable } = new SseDecoderStream();
  const [writer, waiting] = [writable.getWriter(), readable.getReader()];
  writer.write('data: a\n\n'.repeat(100));
  await waiting.read();
  await writer.abort(reason);
  await assert.rejects(waiting.read(), reason);

  const wrong = new SseDecoderStream();
  await assert.rejects(wrong.writable.getWriter().write(7), { code: 'invalid-chunk' });
  await assert.rejects(wrong.readable.getReader().read(), { code: 'invalid-chunk' });
});

test('an error of the source is passed on', async () => {
  const broken = new Error('broken');
  async function* source() {
    yield bytes('data: a\n\n');
    throw broken;
  }
  const iterator = events(source());
  assert.equal((await iterator.next()).value.data, 'a');
  await assert.rejects(iterator.next(), broken);
  assert.equal((await iterator.next()).done, true);
});

test('a long event among others of several streams', async () => {
  const long = 'é'.repeat(3 << 20);
  const parts = [bytes(`data: ${long}`), bytes('\n\ndata: short\n\n')];
  const streams = [1, 2, 3].map(() => events(ReadableStream.from(parts)));
  for (const stream of streams) assert.equal((await stream.next()).value.data, long);
  for (const stream of streams) assert.equal((await stream.next()).value.data, 'short');
});

test('what was encoded decodes to what was meant', async () => {
  const sent = ['plain', { event: 'tick', data: 'two\nlines', id: '7' }, { event: 'empty' }, { data: { json: [1, 'é'] } }, { comment: 'hi', retry: 5 }];
  const told = [];
  const stream = ReadableStream.from(sent).pipeThrough(new SseEncoderStream());
  for await (const event of events(stream, { onComment: (text) => told.push(text), onRetry: (millis) => told.push(millis) })) told.push(event);
  assert.deepEqual(told.filter((item) => item.type), [
    { type: 'message', data: 'plain', lastEventId: '' },
    { type: 'tick', data: 'two\nlines', lastEventId: '7' },
    { type: 'empty', data: '', lastEventId: '7' },
    { type: 'message', data: '{"json":[1,"é"]}', lastEventId: '7' },
  ]);
  assert.deepEqual(new Set(told.filter((item) => !item.type)), new Set(['hi', 5]));
});

test('what would break the framing cannot be encoded', () => {
  assert.throws(() => encodeEvent({ event: 'a\nb', data: '' }), { code: 'invalid-field', field: 'event' });
  assert.throws(() => encodeEvent({ id: 'a\0b', data: '' }), { code: 'invalid-field', field: 'id' });
  assert.throws(() => encodeEvent({ retry: -1 }), { code: 'invalid-field', field: 'retry' });
  assert.throws(() => encodeEvent({ data: 5n }), { code: 'invalid-field', field: 'data' });
  assert.throws(() => encodeEvent({ id: 5 }), { code: 'invalid-field', field: 'id' });
  assert.throws(() => encodeEvent(), { code: 'invalid-field' });
  assert.equal(new TextDecoder().decode(encodeEvent({ data: 'a\r\nb\rc' })), 'data:a\ndata:b\ndata:c\n\n');
});
