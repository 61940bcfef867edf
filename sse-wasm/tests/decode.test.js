import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SseError, events } from 'sse-wasm';

test('events of a response, whatever pieces it comes in', async () => {
  const wire = new TextEncoder().encode('\uFEFF:hi\n\nretry:5\nid:1\nevent:tick\ndata:a\ndata:𝄞é\n\ndata: x\r\n\r\ndata:half');
  const wanted = [
    { type: 'tick', data: 'a\n𝄞é', lastEventId: '1' },
    { type: 'message', data: 'x', lastEventId: '1' },
  ];
  for (let size = 1; size <= wire.length; size++) {
    const chunks = Array.from({ length: Math.ceil(wire.length / size) }, (_, i) => wire.slice(i * size, (i + 1) * size));
    const found = [];
    for await (const event of events(new Response(ReadableStream.from(chunks)))) found.push(event);
    assert.deepEqual(found, wanted, `pieces of ${size} bytes`);
  }
});

test('what is longer than the limit is an error with a code', async () => {
  const stream = events(new Response('data:0123456789\n\n'), { maxLine: 8 });
  await assert.rejects(stream.next(), (error) => error instanceof SseError && error.code === 'line-too-long');
});
