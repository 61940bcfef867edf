// Requests with the token of a hub whose prefix is /sse/.
import assert from 'node:assert/strict';

import { request } from './stream.js';

export function privileged(token) {
  const headers = { authorization: `Bearer ${token}` };

  async function ask(origin, method, path, body) {
    const response = await request(`${origin}/sse/${path}`, { method, body, headers });
    const text = await response.text();
    assert.equal(response.status, 200, `${method} ${path}: ${text}`);
    return text;
  }

  async function publish(origin, event) {
    return JSON.parse(await ask(origin, 'POST', 'publish', JSON.stringify(event)));
  }

  return { headers, ask, publish };
}
