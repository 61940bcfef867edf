// A Worker that reads and follows streams of the server it is told of.
import { EventSource, events } from 'sse-wasm/client';

export default {
  async fetch(request) {
    const { url, how } = Object.fromEntries(new URL(request.url).searchParams);
    const found = [];
    if (how === 'events') {
      for await (const event of events(await fetch(url))) found.push(event);
    } else {
      const source = new EventSource(url, { retry: { first: 50, jitter: 0 } });
      source.onerror = ({ code }) => found.push(code);
      for await (const event of source) {
        found.push(event);
        if (event.data === 'last') break;
      }
      source.close();
    }
    return Response.json(found);
  },
};
