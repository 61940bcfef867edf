// A stream between the Worker and an object that hibernates: the Worker has the response, a WebSocket leads to the object, and the
// object may be evicted from memory while it is open.
//
//   object → Worker   bytes: the next ones of the stream · text: a heartbeat
//   Worker → object   a number: so many bytes more were taken · `heartbeat`: the runtime answers it, and wakes nobody
//   close             1000: the stream has ended, after all that was sent · anything else: it is to be cut
import { SseError } from '../errors.js';

/** Bytes of a stream that may be under way, or wait in the Worker. A chunk more is sent before it stops. */
const WINDOW = 64 * 1024;
/** The Worker tells of so many bytes at once: what idle streams get now and then needs no answer. */
const STEP = WINDOW / 2;
/** How often the Worker asks for a heartbeat in vain before it takes the object for gone. */
const PATIENCE = 2;

const CLOSE = 1000;
const CUT = 4000;

/** In the head of an object's answer, in milliseconds: after how much silence the Worker asks for a heartbeat, and what `writeStall` is. */
const TIMES = 'x-sse-hub-times';
const HEARTBEAT = 'heartbeat';

/** Whether a request asks for a stream by WebSocket. */
export function wantsSocket(request) {
  return request.headers.get('upgrade') === 'websocket';
}

// ---- in the object

/** Opens a stream for a Worker and returns the response to it. */
export function openSocket(context, hub, registration, head, { heartbeat = 15_000, heartbeatComment = 'heartbeat' }) {
  const [theirs, ours] = Object.values(new WebSocketPair());
  const outlet = new SocketOutlet(hub, ours);
  const connection = hub.open(registration, outlet);
  context.acceptWebSocket(ours);
  context.setWebSocketAutoResponse(new WebSocketRequestResponsePair(HEARTBEAT, `:${heartbeatComment}\n\n`));
  outlet.begin(connection, hub.recordOf(connection, registration));
  const headers = { ...head.headers, [TIMES]: `${heartbeat} ${hub.writeStall}` };
  return { outlet, response: new Response(null, { status: 101, headers, webSocket: theirs }), socket: ours };
}

/** The object's end of a stream. What the next hub must know of it is in the socket's attachment. */
export class SocketOutlet {
  #hub;
  #socket;
  #connection = null;
  #record = null;
  #underway = 0;
  /** Whether another hub can go on with it: one that is gone while bytes waited cannot know which of them the peer has. */
  isKept = false;

  constructor(hub, socket) {
    this.#hub = hub;
    this.#socket = socket;
  }

  /** The end of a stream that was open before this hub was. */
  static reopen(hub, socket) {
    const outlet = new SocketOutlet(hub, socket);
    const kept = socket.deserializeAttachment();
    if (kept === null) {
      outlet.end('broken');
      return outlet;
    }
    outlet.#underway = kept.underway;
    outlet.#record = kept.record;
    outlet.#connection = hub.reopen(kept.record, outlet);
    outlet.isKept = true;
    if (outlet.#connection) outlet.#connection.wants = true;
    return outlet;
  }

  begin(connection, record) {
    this.#connection = connection;
    this.#record = record;
    this.#taken(0);
  }

  write(chunk, connection) {
    try {
      this.#socket.send(chunk);
    } catch {
      queueMicrotask(() => this.left());
      return;
    }
    this.#underway += chunk.length;
    connection.wants = this.#underway < WINDOW;
    this.#keep();
  }

  /** What the Worker says: its peer took so many bytes more. */
  heard(message) {
    const bytes = Number(message);
    if (Number.isSafeInteger(bytes)) this.#taken(bytes);
  }

  /** The peer is gone, or the Worker. */
  left() {
    if (this.#connection) this.#hub.left(this.#connection);
    this.end('left');
  }

  end(reason) {
    this.#attach(null);
    try {
      this.#socket.close(reason === 'stalled' || reason === 'broken' ? CUT : CLOSE, reason);
    } catch {
      // It was closed from the other side.
    }
  }

  #taken(bytes) {
    this.#underway -= bytes;
    if (!this.#connection) return;
    this.#connection.wants = this.#underway < WINDOW;
    this.#hub.fill(this.#connection);
    this.#keep();
  }

  #keep() {
    const goesOn = this.#connection.wants && this.#hub.isCaughtUp(this.#connection);
    this.#attach(goesOn ? { record: this.#record, underway: this.#underway } : null);
  }

  #attach(kept) {
    this.isKept = kept !== null;
    this.#socket.serializeAttachment(kept);
  }
}

// ---- in the Worker

/** The response of a Worker whose object answered by WebSocket. */
export function responseFrom(answer, signal) {
  const headers = new Headers(answer.headers);
  const times = headers.get(TIMES).split(' ').map(Number);
  headers.delete(TIMES);
  return new Response(streamFrom(answer.webSocket, times, signal), { headers });
}

function streamFrom(socket, [heartbeatAfter, stalledAfter], signal) {
  let controller;
  let wanted = false;
  /** Chunks, with as many bytes of each as the object is told of. */
  const waiting = [];
  let taken = 0;
  /** The last two bytes that came: only between frames is there room for a heartbeat. */
  let last = [LINE_FEED, LINE_FEED];
  let isEnding = false;
  let unanswered = 0;
  let silence;
  let patience;

  const stop = () => {
    clearTimeout(silence);
    clearTimeout(patience);
    signal.removeEventListener('abort', left);
  };
  const left = () => {
    stop();
    socket.close(CLOSE, 'left');
  };
  const cut = () => {
    stop();
    socket.close(CUT, 'stalled');
    controller.error(new SseError('broken', 'the hub is gone, or the peer took nothing for too long; come back'));
  };
  const drain = () => {
    if (wanted || waiting.length === 0) patience = clearTimeout(patience);
    while (wanted && waiting.length > 0) {
      const [chunk, bytes] = waiting.shift();
      wanted = false;
      taken += bytes;
      controller.enqueue(chunk);
    }
    if (waiting.length > 0 && stalledAfter > 0) patience ??= setTimeout(cut, stalledAfter);
    if (taken >= STEP && !isEnding) {
      socket.send(`${taken}`);
      taken = 0;
    }
    if (isEnding && waiting.length === 0) {
      stop();
      controller.close();
    }
  };
  const listen = () => {
    clearTimeout(silence);
    if (heartbeatAfter > 0) silence = setTimeout(ask, heartbeatAfter);
  };
  const ask = () => {
    if (unanswered === PATIENCE) return cut();
    unanswered += 1;
    socket.send(HEARTBEAT);
    listen();
  };

  socket.binaryType = 'arraybuffer';
  socket.addEventListener('message', ({ data }) => {
    unanswered = 0;
    listen();
    if (typeof data !== 'string') {
      const chunk = new Uint8Array(data);
      last = [...last, ...chunk.slice(-2)].slice(-2);
      waiting.push([chunk, chunk.length]);
    } else if (waiting.length === 0 && last.every((byte) => byte === LINE_FEED)) {
      waiting.push([new TextEncoder().encode(data), 0]);
    }
    drain();
  });
  socket.addEventListener('close', ({ code }) => {
    if (code !== CLOSE) return cut();
    isEnding = true;
    drain();
  });
  return new ReadableStream(
    {
      start(made) {
        controller = made;
        signal.addEventListener('abort', left, { once: true });
        socket.accept();
        listen();
        if (signal.aborted) left();
      },
      // Never waits: see hub/streams.js.
      pull() {
        wanted = true;
        drain();
      },
      cancel: left,
    },
    { highWaterMark: 0 },
  );
}

const LINE_FEED = 10;
