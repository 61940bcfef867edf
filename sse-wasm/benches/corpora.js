// What the streams are measured on: as in sse-proto/benches/corpora, and the same bytes in every run, since they come from a seed.

/** Corpora by name: the bytes, and how many events they are. */
export function corpora() {
  const llmEvents = repeat(llm);
  return { llm: llmEvents, 'llm-wide': repeat(llmWide), 'data-x': repeat(() => 'data: x\n\n'), typed: repeat(typed) };
}

const SIZE = 128 << 10;

function repeat(event) {
  const random = new Random(0x5eedn);
  let [text, events] = ['', 0];
  for (; text.length < SIZE; events += 1) text += event(random);
  return { bytes: new TextEncoder().encode(text), events };
}

const TOKENS = [' the', ' of', 'ing', ' model', '.', ',', ' stream', ' and', '’s', ' to', ' a', ' in', ' is', ' that', ' for', 's', ' server',
  ' sends', ' event', '-', ' with', ' it', ' on', ' each'];
const WIDE_TOKENS = ['事件', '服务', '器', '发送', '的', '流', '。', '模型'];

/** A token of a language model's answer, about 290 bytes. */
function llm(random, tokens = TOKENS) {
  const token = random.pick(tokens);
  const id = random.next().toString(16).padStart(16, '0');
  const created = String(random.next() % 100_000_000n).padStart(8, '0');
  const fingerprint = (random.next() >> 24n).toString(16).padStart(10, '0');
  return `data: {"id":"chatcmpl-9yZ${id}","object":"chat.completion.chunk","created":17${created},"model":"gpt-4o-2024-08-06",`
    + `"service_tier":"default","system_fingerprint":"fp_${fingerprint}","choices":[{"index":0,"delta":{"content":"${token}"},`
    + '"logprobs":null,"finish_reason":null}],"usage":null}\n\n';
}

/** The same in a language in which no token is ASCII. */
function llmWide(random) {
  return llm(random, WIDE_TOKENS);
}

/** A small named event, about 120 bytes. */
function typed(random) {
  const name = random.pick(['content_block_delta', 'price', 'message_delta', 'tick']);
  const text = (random.next() >> 20n).toString(16);
  return `event: ${name}\ndata: {"type":"${name}","index":${random.next() % 10n},"delta":{"type":"text_delta","text":"${text}"}}\n\n`;
}

/** Xorshift. */
class Random {
  #state;

  constructor(seed) {
    this.#state = seed;
  }

  next() {
    const mask = (1n << 64n) - 1n;
    this.#state ^= (this.#state << 13n) & mask;
    this.#state ^= this.#state >> 7n;
    this.#state ^= (this.#state << 17n) & mask;
    return this.#state;
  }

  pick(choices) {
    return choices[Number(this.next() % BigInt(choices.length))];
  }
}
