import { StreamDecoder } from '#decoder';

import { SseError } from './errors.js';

const EVENT = 0;
const COMMENT = 1;
const RETRY = 2;
const ID = 3;

const MESSAGES = {
  'line-too-long': 'the peer sent a line longer than the limit',
  'event-too-long': 'the peer sent an event with more data than the limit',
  'buffer-full': 'the event does not fit the decoder’s memory',
};

/** The events of a response, one after the other. */
export async function* events(response, options = {}) {
  const decoder = new StreamDecoder(options.maxLine ?? 16 << 20, options.maxEvent ?? 16 << 20);
  try {
    for await (const chunk of response.body ?? response) {
      for (const item of itemsOf(decoder, chunk)) {
        if (item.kind === EVENT) yield item.event;
        if (item.error) throw item.error;
      }
    }
  } finally {
    decoder.free();
  }
}

/** What a chunk completed. */
export function itemsOf(decoder, chunk) {
  const count = decoder.feed(chunk);
  if (count === 0) return [];
  const numbers = decoder.items();
  const texts = decoder.texts();
  const items = [];
  let at = 0;
  const text = (length) => texts.slice(at, (at += length));
  for (let index = 0; index < 4 * count; index += 4) {
    const kind = numbers[index];
    if (kind === RETRY) {
      items.push({ kind, retry: numbers[index + 1] });
      continue;
    }
    const [first, second, third] = [text(numbers[index + 1]), text(numbers[index + 2]), text(numbers[index + 3])];
    if (kind === EVENT) items.push({ kind, event: { type: first, data: second, lastEventId: third } });
    else if (kind === COMMENT) items.push({ kind, comment: first });
    else if (kind === ID) items.push({ kind, lastEventId: first });
    else items.push({ kind, error: new SseError(first, MESSAGES[first]) });
  }
  return items;
}
