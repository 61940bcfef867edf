// The decoder in JavaScript beside that of `sse-proto`: random streams in random pieces give the same, chunk for chunk. What that one gives
// is told by the program in SSE_DECODED, see tests/decoded of the repository.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { test } from 'node:test';

const CASES = 5000;

/** What streams are made of: one character for each byte. Some of it is ill-formed UTF-8, some the beginning of what comes next. */
const PIECES = [
  'data', 'data:', 'data: ', 'data:  ', 'event', 'event:', 'event: ', 'id', 'id:', 'id: ', 'retry', 'retry:', 'retry: ', ':', ': ', 'dat', 'datas',
  '\n', '\n', '\n', '\n\n', '\n\n', '\r', '\r\n', '\r\n', ' ', '\0', 'x', 'ab', 'data: x\n\n', 'event: tick\ndata: 1\n\n', 'id: 7\n', '0', '12', '99999999999',
  bytes('é'), bytes('事件'), bytes('𝄞'), bytes('\uFFFD'), '\xEF\xBB\xBF', '\xEF', '\xBB', '\xF0\x9D', '\x84', '\x80', '\xC3', '\xE4\xBA', '\xED\xA0\x80', '\xFF', '\x8A', '\x8D',
  'a'.repeat(64), 'long '.repeat(40),
];

const HOME = '../node_modules/sse-wasm/js/decoder.js';

test('random streams in random pieces decode as in sse-proto, with a Buffer and without', async () => {
  const { Decoder } = await import(HOME);
  const { Decoder: WithoutBuffer } = await without('Buffer', () => import(`${HOME}?without`));
  assert.notEqual(Decoder, WithoutBuffer);
  const random = seeded(0x5eed);
  const cases = Array.from({ length: CASES }, () => makeCase(random));
  let events = 0;
  let lost = 0;
  for await (const [given, wanted] of paired(cases, decoded(cases))) {
    for (const Kind of [Decoder, WithoutBuffer]) assert.deepEqual(decode(Kind, given), wanted, JSON.stringify(given));
    events += wanted.filter(([what]) => what === 'event').length;
    lost += wanted.filter(([what]) => what === 'lost').length;
  }
  assert.ok(events > CASES / 2 && lost > CASES / 20, `${events} events and ${lost} losses are too few to tell`);
});

/** What a case decodes to: after each chunk what it gave, and the last event id. */
function decode(Kind, { chunks, ...options }) {
  const seen = [];
  const decoder = new Kind(options);
  const beside = [];
  const report = {
    comment: (text) => beside.push(['comment', text]),
    retry: (millis) => beside.push(['retry', millis]),
    lost: (error) => beside.push(['lost', error.code]),
  };
  for (const chunk of chunks) {
    const events = decoder.decode(Uint8Array.from(chunk, (byte) => byte.charCodeAt(0)), report);
    seen.push(...events.map(({ type, data, lastEventId }) => ['event', type, data, lastEventId]));
    seen.push(...beside.splice(0), ['id', decoder.lastEventId]);
  }
  return seen;
}

function makeCase(random) {
  let stream = random(8) === 0 ? '\xEF\xBB\xBF' : '';
  for (let left = random(60); left >= 0; left--) stream += PIECES[random(PIECES.length)];
  const chunks = [];
  const most = [1, 3, 16, 1000][random(4)];
  while (stream !== '') {
    const size = random(most + 1);
    chunks.push(stream.slice(0, size));
    stream = stream.slice(size);
  }
  const limit = () => (random(4) > 0 ? 16 << 20 : random(100));
  return { maxLine: limit(), maxEvent: limit(), lastEventId: random(4) === 0 ? 'earlier' : '', chunks };
}

/** What sse-proto says, a line for each case. */
async function* decoded(cases) {
  const program = process.env.SSE_DECODED;
  if (!program) throw new Error('SSE_DECODED is not set: give it the path of a built sse-decoded (tests/run js does)');
  const child = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] });
  const failed = new Promise((_, reject) => { child.once('error', reject); });
  child.stdin.end(cases.map((given) => `${JSON.stringify(given)}\n`).join(''));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  for (;;) {
    const { done, value } = await Promise.race([lines.next(), failed]);
    if (done) return;
    yield JSON.parse(value);
  }
}

async function* paired(cases, answers) {
  let count = 0;
  for await (const answer of answers) yield [cases[count++], answer];
  assert.equal(count, cases.length, 'every case was answered');
}

async function without(name, work) {
  const value = globalThis[name];
  delete globalThis[name];
  try {
    return await work();
  } finally {
    globalThis[name] = value;
  }
}

function bytes(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

/** Numbers below what is asked, the same in every run: mulberry32. */
function seeded(state) {
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}
