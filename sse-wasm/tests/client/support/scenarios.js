// What a page can observe of an EventSource: run with ours in Node and in Chromium, and with Chromium's own. Runs in pages: no imports.
//
// Each restates what web-platform-tests' eventsource/ folder asks (its files are named); it gives what it observed, and `wanted` is that.

/** The URL under which the server plays a script. */
export function play(origin, script, token = crypto.randomUUID()) {
  return `${origin}/play?token=${token}&script=${encodeURIComponent(JSON.stringify(script))}`;
}

const HOLD = { hold: true };
const HELLO = { body: 'data: hello\n\n', hold: true };

/** Everything that happens to a source, until the condition holds. */
function trace(source, types, until) {
  const seen = [];
  return new Promise((resolve) => {
    for (const type of ['open', 'error', ...types]) {
      source.addEventListener(type, (event) => {
        seen.push(event.data === undefined ? `${type} ${source.readyState}` : `${type} ${source.readyState} ${event.data}`);
        if (until(seen)) {
          source.close();
          resolve(seen);
        }
      });
    }
  });
}

const count = (number) => (seen) => seen.length === number;

/** What a stream's first event carries. */
async function first(EventSource, url, options) {
  const source = new EventSource(url, options);
  const event = await new Promise((resolve, reject) => {
    source.onmessage = resolve;
    source.onerror = () => reject(new Error(`error at ${url}`));
  });
  source.close();
  return event;
}

async function reaction(EventSource, origin, answer) {
  const source = new EventSource(play(origin, [answer, HELLO]));
  const seen = await trace(source, ['message'], (all) => all.some((line) => /^(error|message)/.test(line)));
  return seen.at(-1);
}

export const SCENARIOS = {
  'constants, on the class and on its objects (eventsource-prototype, interfaces)': {
    wanted: [[0, 1, 2], [0, 1, 2], true, 'function'],
    run({ EventSource, origin }) {
      const source = new EventSource(play(origin, [HOLD]));
      source.close();
      const of = (from) => [from.CONNECTING, from.OPEN, from.CLOSED];
      return [of(EventSource), of(source), source instanceof EventTarget, typeof source.close];
    },
  },
  'a URL that is none throws a SyntaxError (eventsource-constructor-url-bogus)': {
    wanted: ['SyntaxError', true],
    run({ EventSource }) {
      try {
        new EventSource('http://host:port/');
      } catch (error) {
        return [error.name, error instanceof DOMException];
      }
    },
  },
  'url, withCredentials, readyState and handlers at first (eventsource-url, -constructor-stringify)': {
    wanted: [true, false, true, 0, null, null, null, 2, 2],
    run({ EventSource, origin }) {
      const url = play(origin, [HOLD]);
      const source = new EventSource({ toString: () => url });
      const second = new EventSource(url, { withCredentials: true });
      const at = [source.url === url, source.withCredentials, second.withCredentials, source.readyState, source.onopen, source.onmessage,
        source.onerror];
      source.close();
      second.close();
      source.close();
      return [...at, source.readyState, second.readyState];
    },
  },
  'open, then messages; the shape of either (eventsource-onopen, -onmessage)': {
    wanted: ['open', false, false, undefined, 1, 'message', 'hello', true, '', false, false, true, 1],
    async run({ EventSource, origin }) {
      const source = new EventSource(play(origin, [HELLO]));
      const opened = await new Promise((resolve) => { source.onopen = resolve; });
      const found = [opened.type, opened.bubbles, opened.cancelable, opened.data, source.readyState];
      const event = await new Promise((resolve) => { source.onmessage = resolve; });
      found.push(event.type, event.data, event.origin === origin, event.lastEventId, event.bubbles, event.cancelable,
        event instanceof MessageEvent, source.readyState);
      source.close();
      return found;
    },
  },
  'named events are for their listeners alone (format-field-event, -event-empty, eventsource-eventtarget)': {
    wanted: ['test:one', 'message:two', 'message:three', 'once'],
    async run({ EventSource, origin }) {
      const source = new EventSource(play(origin, [{ body: 'event:test\ndata:one\n\nevent:\ndata:two\n\ndata:three\n\nevent:end\ndata\n\n', hold: true }]));
      const seen = [];
      const not = () => seen.push('removed');
      source.addEventListener('test', not);
      source.removeEventListener('test', not);
      source.addEventListener('test', (event) => seen.push(`test:${event.data}`));
      source.onmessage = (event) => seen.push(`message:${event.data}`);
      await new Promise((resolve) => { source.addEventListener('end', resolve, { once: true }); });
      source.close();
      return [...seen, 'once'];
    },
  },
  'a handler is replaced in its place, and removed by null': {
    wanted: ['second', 'listener'],
    async run({ EventSource, origin }) {
      const source = new EventSource(play(origin, [HELLO]));
      const seen = [];
      source.onmessage = () => seen.push('first');
      const done = new Promise((resolve) => { source.addEventListener('message', () => { seen.push('listener'); resolve(); }); });
      source.onmessage = () => seen.push('second');
      source.onopen = () => seen.push('opened');
      source.onopen = null;
      await done;
      source.close();
      return seen;
    },
  },
  'close() in the middle of a chunk: no more events (eventsource-close, -request-cancellation)': {
    wanted: ['one', 2, 1],
    async run({ EventSource, origin, pause }) {
      const source = new EventSource(play(origin, [{ body: 'data:one\n\ndata:two\n\ndata:three\n\n', hold: true }]));
      const seen = [];
      await new Promise((resolve) => {
        source.onmessage = ({ data }) => {
          seen.push(data);
          source.close();
          resolve();
        };
      });
      await pause(100);
      return [...seen, source.readyState, seen.length];
    },
  },
  'close() before it is open: no event at all (eventsource-close)': {
    wanted: [2, []],
    async run({ EventSource, origin, pause }) {
      const source = new EventSource(play(origin, [HELLO]));
      const seen = [];
      for (const type of ['open', 'error', 'message']) source.addEventListener(type, () => seen.push(type));
      source.close();
      await pause(200);
      return [source.readyState, seen];
    },
  },
  'the content type decides (format-mime-valid-bogus, -mime-bogus, -mime-trailing-semicolon)': {
    wanted: ['message 1 hello', 'message 1 hello', 'message 1 hello', 'error 2', 'error 2', 'error 2'],
    async run({ EventSource, origin }) {
      const types = ['text/event-stream;', 'text/event-stream; charset=utf-8', 'Text/Event-Stream', 'text/x-bogus',
        'text/plain; text/event-stream', 'text/event-stream-2'];
      const found = [];
      for (const type of types) found.push(await reaction(EventSource, origin, { body: HELLO.body, headers: { 'content-type': type } }));
      return found;
    },
  },
  'a status but 200 ends it (request-status-error, http-response-204)': {
    wanted: Array(9).fill('error 2'),
    async run({ EventSource, origin }) {
      const found = [];
      for (const status of [204, 205, 210, 299, 404, 410, 429, 500, 503]) found.push(await reaction(EventSource, origin, { status }));
      return found;
    },
  },
  'redirects are followed (request-redirect)': {
    wanted: Array(5).fill('open 1,message 1 hello'),
    async run({ EventSource, origin }) {
      const found = [];
      for (const status of [301, 302, 303, 307, 308]) {
        const source = new EventSource(play(origin, [{ status, headers: { location: play(origin, [HELLO]) } }]));
        found.push((await trace(source, ['message'], count(2))).join());
      }
      return found;
    },
  },
  'the end of a stream, and then again with the last id (eventsource-reconnect, format-field-id)': {
    wanted: ['open 1', 'message 1 one -', 'error 0', 'open 1', 'message 1 two 7'],
    run({ EventSource, origin }) {
      const script = [{ body: 'retry: 10\nid: 7\ndata: one {last-event-id}\n\ndata: half' }, { body: 'data: two {last-event-id}\n\n', hold: true }];
      return trace(new EventSource(play(origin, script)), ['message'], count(5));
    },
  },
  'ids: empty resets, NUL is ignored, and other characters are sent as UTF-8 (format-field-id-2, -id-3, -id-null)': {
    wanted: [['-', ''], ['-', '…'], ['…', '…'], ['…', ''], ['-', 'x']],
    async run({ EventSource, origin }) {
      const next = (id) => ({ body: `retry: 10\n${id}data: {last-event-id}\n\n` });
      const source = new EventSource(play(origin, [next(''), next('id: …\n'), next('id: a\0b\n'), next('id\n'), next('id: x\n'), HOLD]));
      const seen = [];
      await new Promise((resolve) => {
        source.onmessage = ({ data, lastEventId }) => {
          seen.push([data, lastEventId]);
          if (seen.length === 5) resolve();
        };
      });
      source.close();
      return seen;
    },
  },
  'retry sets the wait, and what is no number does not (format-field-retry, -retry-bogus, -retry-empty)': {
    wanted: [true, true],
    async run({ EventSource, origin }) {
      const script = [{ body: 'retry: 300\ndata: a\n\n' }, { body: 'retry: 1x\nretry\nretry: -5\ndata: b\n\n' }, HELLO];
      const source = new EventSource(play(origin, script));
      const at = [];
      await new Promise((resolve) => {
        source.onmessage = () => {
          at.push(performance.now());
          if (at.length === 3) resolve();
        };
      });
      source.close();
      return [at[1] - at[0] >= 299, at[2] - at[1] >= 299];
    },
  },
  'what is asked: Accept and Cache-Control (request-accept, request-cache-control)': {
    wanted: ['GET text/event-stream no-cache -'],
    async run({ EventSource, origin }) {
      const body = 'data: {method} {accept} {cache-control} {last-event-id}\n\n';
      return [(await first(EventSource, play(origin, [{ body, hold: true }]))).data];
    },
  },
  'another origin: allowed or not, and whose the events are (eventsource-cross-origin)': {
    wanted: ['hello', true, 'error'],
    browser: true,
    async run({ EventSource, other }) {
      const allowed = await first(EventSource, play(other, [{ ...HELLO, headers: { 'access-control-allow-origin': '*' } }]));
      const denied = await first(EventSource, play(other, [HELLO])).catch(() => 'error');
      return [allowed.data, allowed.origin === other, denied.type ?? denied];
    },
  },
  'credentials go to another origin when they are asked for (request-credentials)': {
    wanted: ['-', 'seen=yes', 'seen=yes'],
    browser: true,
    async run({ EventSource, origin, other }) {
      document.cookie = 'seen=yes';
      const headers = { 'access-control-allow-origin': origin, 'access-control-allow-credentials': 'true' };
      const answer = { body: 'data: {cookie}\n\n', hold: true, headers };
      const own = play(origin, [{ body: 'data: {cookie}\n\n', hold: true }]);
      return [
        (await first(EventSource, play(other, [answer]))).data,
        (await first(EventSource, play(other, [answer]), { withCredentials: true })).data,
        (await first(EventSource, own)).data,
      ];
    },
  },
  'the format: byte order mark, comments, CR and CRLF, NUL, UTF-8 (format-*)': {
    wanted: ['1|3', 'a\nb', 'ok…', '\0', ' x', ''],
    async run({ EventSource, origin }) {
      const source = new EventSource(play(origin, [{
        body: '\uFEFFdata:1|3\n\n:\0\ndata:a\r\ndata:b\r\rdata:ok…\n\nDATA:no\ndata:\0\n\ndata:  x\n\ndata\n\ndata:unfinished', hold: true,
      }]));
      const seen = [];
      await new Promise((resolve) => {
        source.onmessage = ({ data }) => {
          seen.push(data);
          if (seen.length === 6) resolve();
        };
      });
      source.close();
      return seen;
    },
  },
  'a server that is not there: an error, and another attempt (eventsource-constructor-non-same-origin)': {
    wanted: ['error 0', 'error 2'],
    async run({ EventSource, nowhere }) {
      const found = [];
      for (const url of [nowhere, 'mailto:someone@localhost']) {
        const source = new EventSource(url);
        await new Promise((resolve) => { source.onerror = resolve; });
        found.push(`error ${source.readyState}`);
        source.close();
      }
      return found;
    },
  },
};
