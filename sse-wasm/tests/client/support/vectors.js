// Streams and what they decode to: tests/vectors/ of the repository, which tells its format.
import { readFileSync } from 'node:fs';

const FILES = ['decoder-vectors.json', 'more-vectors.json'];

export function vectors() {
  const all = FILES.flatMap((file) => JSON.parse(readFileSync(new URL(`../../../../tests/vectors/${file}`, import.meta.url))).vectors);
  if (all.length < 200) throw new Error(`there are only ${all.length} vectors`);
  return all.map((vector) => {
    const { expected } = vector;
    return {
      name: vector.name,
      input: vector.input_base64 === undefined ? joined(vector.input_parts) : Buffer.from(vector.input_base64, 'base64'),
      chunkings: vector.chunkings ?? [],
      initial: vector.initial_last_event_id ?? '',
      maxEvent: vector.max_event,
      events: expected.events.map((event) => ({
        type: event.type, data: text(event, 'data'), lastEventId: text(event, 'last_event_id'),
      })),
      errors: expected.errors ?? 0,
      lastEventId: text(expected, 'final_last_event_id'),
      retries: expected.retry_ms_any_of ?? [expected.retry_ms],
      deliverableAfter: vector.deliverable_after ?? [],
    };
  });
}

/** The input cut at each of the chunkings that its vector names, whole, into bytes, and into a few odd sizes. */
export function* cuts({ input, chunkings }) {
  yield ['whole', [input]];
  for (const chunking of chunkings) yield [`cut at ${chunking}`, cutAt(input, chunking)];
  for (const size of input.length > 20_000 ? [1399, 16_385] : [1, 2, 7, 64]) {
    yield [`in pieces of ${size}`, Array.from({ length: Math.ceil(input.length / size) }, (_, n) => input.subarray(n * size, (n + 1) * size))];
  }
}

function cutAt(input, offsets) {
  const edges = [0, ...offsets, input.length];
  return edges.slice(1).map((edge, n) => input.subarray(edges[n], edge));
}

function joined(parts) {
  return Buffer.concat(parts.flatMap(({ base64, repeat }) => Array(repeat ?? 1).fill(Buffer.from(base64, 'base64'))));
}

function text(object, name) {
  return object[name] ?? object[`${name}_parts`].map((part) => part.text.repeat(part.repeat)).join('');
}
