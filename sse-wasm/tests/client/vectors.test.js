import assert from 'node:assert/strict';
import { test } from 'node:test';

import { EventSource, SseDecoderStream, SseError, events } from 'sse-wasm/client';

import { within } from '../../../tests/hosts/support/wait.mjs';
import { cuts, vectors } from './support/vectors.js';

const HEAD = { headers: { 'content-type': 'text/event-stream' } };

test('events(): every vector, in several chunkings', async () => {
  for (const vector of vectors()) {
    for (const [how, chunks] of cuts(vector)) {
      const found = [];
      let retry = null;
      const options = { lastEventId: vector.initial, maxEvent: vector.maxEvent, onRetry: (millis) => { retry = millis; } };
      const failure = await collect(events(ReadableStream.from(chunks), options), found);
      if (vector.errors > 0) {
        assert.equal(failure?.code, 'event-too-long', `${vector.name} ${how}`);
        assert.deepEqual(found, vector.events.slice(0, found.length), `${vector.name} ${how}`);
        continue;
      }
      assert.equal(failure, undefined, `${vector.name} ${how}`);
      assert.deepEqual(found, vector.events, `${vector.name} ${how}`);
      assert.ok(vector.retries.some((wanted) => same(wanted, retry)), `${vector.name} ${how}: retry ${retry}, not ${vector.retries}`);
    }
  }
});

test('SseDecoderStream: every vector, in several chunkings', async () => {
  for (const vector of vectors().filter(({ errors }) => errors === 0)) {
    for (const [how, chunks] of cuts(vector)) {
      const decoder = new SseDecoderStream({ lastEventId: vector.initial, maxEvent: vector.maxEvent });
      const found = [];
      await collect(ReadableStream.from(chunks).pipeThrough(decoder), found);
      assert.deepEqual(found, vector.events, `${vector.name} ${how}`);
      assert.equal(decoder.lastEventId, vector.lastEventId, `${vector.name} ${how}`);
    }
  }
});

test('EventSource: every vector, in several chunkings', async () => {
  for (const vector of vectors()) {
    for (const [how, chunks] of cuts(vector)) {
      const lost = [];
      const source = new EventSource('http://vectors.test/', {
        fetch: async () => new Response(ReadableStream.from(chunks), HEAD),
        reconnect: false, lastEventId: vector.initial, maxEvent: vector.maxEvent, onLost: (error) => lost.push(error),
      });
      const found = [];
      assert.equal(await collect(source, found), undefined, `${vector.name} ${how}`);
      assert.deepEqual(found, vector.events, `${vector.name} ${how}`);
      assert.equal(source.lastEventId, vector.lastEventId, `${vector.name} ${how}`);
      assert.equal(lost.length, vector.errors, `${vector.name} ${how}`);
      assert.ok(lost.every((error) => error instanceof SseError && error.code === 'event-too-long'));
    }
  }
});

test('an event is there as soon as its last byte is', async () => {
  const some = vectors().filter(({ deliverableAfter }) => deliverableAfter.length > 0);
  assert.ok(some.length > 0);
  for (const vector of some) {
    let controller;
    const found = events(new ReadableStream({ start(given) { controller = given; } }));
    let fed = 0;
    for (const [index, end] of vector.deliverableAfter.entries()) {
      if (end > fed) controller.enqueue(vector.input.subarray(fed, end));
      fed = Math.max(fed, end);
      const { value } = await within(5000, found.next(), `event ${index} of ${vector.name} after ${end} bytes`);
      assert.deepEqual(value, vector.events[index], vector.name);
    }
    await found.return();
  }
});

async function collect(iterable, into) {
  try {
    for await (const { type, data, lastEventId } of iterable) into.push({ type, data, lastEventId });
  } catch (error) {
    return error;
  }
}

/** Times that do not fit 32 bits cross to JavaScript as the longest that does. */
function same(wanted, found) {
  return wanted === found || (wanted > 2 ** 32 - 1 && found === 2 ** 32 - 1);
}
