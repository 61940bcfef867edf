// How fast streams are decoded, beside eventsource-parser, in the same process and over the same bytes cut the same way.
//
//   npm run bench [-- ROUNDS]
//
// Every round runs everyone once on every corpus and chunk size; the figures are medians over the rounds. Time is processor time of the whole
// process, garbage collection and compilation with it: on a busy machine a clock on the wall measures the others. Ways to decode:
//
//   events        for await over a ReadableStream of bytes: ours is events(), theirs TextDecoderStream and EventSourceParserStream
//   transform     the same, but both with pipeThrough: ours is SseDecoderStream
//   calls         no streams: ours is what both of the above stand on, theirs createParser().feed(TextDecoder.decode())
import { createParser } from 'eventsource-parser';
import { EventSourceParserStream } from 'eventsource-parser/stream';
import { SseDecoderStream, events } from 'sse-wasm/client';

import { Decoding } from '../js/events.js';
import { corpora } from './corpora.js';

const ROUNDS = Number(process.argv[2] ?? 25);
const CHUNKS = [16 << 10, 1400, 64];
/** At least how many times as fast as theirs, of `events` and `transform`. */
const TARGETS = { llm: { 16384: 1.5, 1400: 1.5 }, 'data-x': { 16384: 1, 1400: 1 } };
/** In chunks of 64 bytes only so much of a corpus is decoded: the host's streams take a microsecond and more for each. */
const SMALL = 16 << 10;

/** In milliseconds. */
const SAMPLE = 2;
const WARM_UP = 200;

const STREAMS = (chunks) => count(parsed(chunks));

const WAYS = {
  events: { ours: (chunks) => count(events(stream(chunks))), theirs: STREAMS },
  transform: { ours: (chunks) => count(stream(chunks).pipeThrough(new SseDecoderStream())), theirs: STREAMS },
  calls: { ours: decodeAll, theirs: parseAll },
};

const missed = [];
console.log(`Node ${process.version}, medians of ${ROUNDS} rounds, processor time`);
console.log('corpus     chunk  way        ours MB/s  theirs MB/s  ratio');
for (const [name, corpus] of Object.entries(corpora())) {
  for (const size of CHUNKS) {
    const chunks = cut(size < 1000 ? corpus.bytes.subarray(0, SMALL) : corpus.bytes, size);
    const wanted = await WAYS.calls.theirs(chunks);
    const samplers = new Map(Object.values(WAYS).flatMap(({ ours, theirs }) => [ours, theirs]).map((run) => [run, sampler(run)]));
    for (const one of samplers.values()) await one.warmUp(chunks, wanted);
    for (let round = 0; round < ROUNDS; round++) {
      for (const one of samplers.values()) {
        globalThis.gc?.();
        await one.sample(chunks, wanted);
      }
    }
    for (const [way, { ours, theirs }] of Object.entries(WAYS)) {
      report(name, size, way, samplers.get(ours).speed(), samplers.get(theirs).speed());
    }
  }
}
for (const line of missed) console.log(line);

function report(name, size, way, ours, theirs) {
  const target = way === 'calls' ? undefined : TARGETS[name]?.[size];
  const ratio = ours / theirs;
  const verdict = target ? `  at least ${target}: ${ratio >= target ? 'held' : 'MISSED'}` : '';
  console.log(`${name.padEnd(10)} ${String(size).padStart(5)}  ${way.padEnd(9)} ${mb(ours)}    ${mb(theirs)}  ${ratio.toFixed(2).padStart(5)}${verdict}`);
  if (target && ratio < target) missed.push(`MISSED: ${way} of ${name} at ${size}: ${ratio.toFixed(2)} instead of ${target}`);
}

function mb(speed) {
  return (speed / 1e6).toFixed(1).padStart(9);
}

/** Runs one way again and again and keeps how long it took. */
function sampler(run) {
  const speeds = [];
  async function spend(millis, chunks, wanted) {
    let [took, times] = [0, 0];
    while (took < millis) {
      const begin = process.cpuUsage();
      const found = await run(chunks);
      const { user, system } = process.cpuUsage(begin);
      took += (user + system) / 1000;
      times += 1;
      if (found !== wanted) throw new Error(`${found} events instead of ${wanted}`);
    }
    return took / times;
  }
  return {
    /** Until the host has compiled what it runs for good. */
    warmUp: (chunks, wanted) => spend(WARM_UP, chunks, wanted),
    async sample(chunks, wanted) {
      const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
      speeds.push((bytes * 1000) / await spend(SAMPLE, chunks, wanted));
    },
    speed: () => speeds.toSorted((a, b) => a - b)[speeds.length >> 1],
  };
}

function cut(bytes, size) {
  const chunks = [];
  for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.slice(at, at + size));
  return chunks;
}

function stream(chunks) {
  let next = 0;
  return new ReadableStream({
    pull(controller) {
      if (next < chunks.length) controller.enqueue(chunks[next++]);
      else controller.close();
    },
  });
}

function parsed(chunks) {
  return stream(chunks).pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
}

async function count(iterable) {
  let [events, length] = [0, 0];
  for await (const { data } of iterable) {
    events += 1;
    length += data.length;
  }
  return events && length && events;
}

function decodeAll(chunks) {
  const decoding = new Decoding();
  let events = 0;
  for (const chunk of chunks) {
    for (const { data } of decoding.decode(chunk)) events += Number(data.length > 0);
  }
  return events;
}

function parseAll(chunks) {
  let events = 0;
  const parser = createParser({ onEvent: ({ data }) => { events += Number(data.length > 0); } });
  const decoder = new TextDecoder();
  for (const chunk of chunks) parser.feed(decoder.decode(chunk, { stream: true }));
  return events;
}
