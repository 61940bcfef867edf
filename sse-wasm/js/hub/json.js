// JSON as its writer wrote it: what is passed on keeps its bytes, so no key moves and no number changes.
import { ApiError } from './answer.js';

/** Parses a whole body. Returns the value, and the text that `raw` cuts values out of. */
export function parseBody(bytes) {
  const text = decodeText(bytes);
  try {
    return { value: JSON.parse(text), text };
  } catch (error) {
    throw new ApiError(400, `the request body is not JSON: ${error.message}`);
  }
}

/** As {@link parseBody}; a body of nothing but white space is `undefined`. */
export function parseOptional(bytes) {
  if (bytes.every((byte) => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09)) return { value: undefined, text: '' };
  return parseBody(bytes);
}

/** The text of each element of a JSON array that was parsed before. */
export function rawElements(text) {
  const elements = [];
  let at = skip(text, skip(text, 0) + 1);
  while (text[at] !== ']') {
    const end = valueEnd(text, at);
    elements.push(text.slice(at, end));
    at = skip(text, end);
    if (text[at] === ',') at = skip(text, at + 1);
  }
  return elements;
}

/** The text of a member of a JSON object that was parsed before; the last of that name, as JSON.parse has it. */
export function rawMember(text, wanted) {
  let found;
  let at = skip(text, skip(text, 0) + 1);
  while (text[at] !== '}') {
    const keyEnd = valueEnd(text, at);
    const key = JSON.parse(text.slice(at, keyEnd));
    const from = skip(text, skip(text, keyEnd) + 1);
    const end = valueEnd(text, from);
    if (key === wanted) found = text.slice(from, end);
    at = skip(text, end);
    if (text[at] === ',') at = skip(text, at + 1);
  }
  return found;
}

function skip(text, at) {
  while (text[at] === ' ' || text[at] === '\n' || text[at] === '\r' || text[at] === '\t') at += 1;
  return at;
}

/** Where the value that begins at `at` ends. */
function valueEnd(text, at) {
  let depth = 0;
  for (;;) {
    const character = text[at];
    if (character === '"') at = stringEnd(text, at);
    else if (character === '{' || character === '[') [depth, at] = [depth + 1, at + 1];
    else if (character === '}' || character === ']') [depth, at] = [depth - 1, at + 1];
    else if (depth === 0) return scalarEnd(text, at);
    else at += 1;
    if (depth === 0) return at;
  }
}

function stringEnd(text, at) {
  for (at += 1; text[at] !== '"'; at += 1) if (text[at] === '\\') at += 1;
  return at + 1;
}

function scalarEnd(text, at) {
  while (at < text.length && !',]} \n\r\t'.includes(text[at])) at += 1;
  return at;
}

function decodeText(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new ApiError(400, 'the request body is not JSON: it is not UTF-8');
  }
}
