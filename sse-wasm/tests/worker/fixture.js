// The Worker under test: the package's own object and Worker, and a way in for tests.
import { SseHubObject, createWorker } from 'sse-wasm/worker';

export class TestHub extends SseHubObject {
  options() {
    const slow = () => new Promise((resolve) => setTimeout(() => resolve('at last'), 2500));
    return { tasks: { job: 'worker', slow }, ...JSON.parse(this.env.OPTIONS ?? '{}') };
  }

  /** Ends this instance, as a reset does: whatever it held in memory is gone. */
  async reset() {
    this.ctx.abort('reset by a test');
  }

  /** Which instance this is: another one after each reset and each eviction. */
  #instance = crypto.randomUUID();

  async instance() {
    return this.#instance;
  }

  async alarmAt() {
    return this.ctx.storage.getAlarm();
  }

  /** Whether it gave its engine back. */
  async isIdle() {
    return !this.isAwake;
  }

  /** The engine traps when it is asked for bytes next. */
  async trap() {
    globalThis.trapNext = true;
  }

  /** An alarm, as it comes early or twice. */
  async ring() {
    await this.alarm();
  }

  /** Nobody answers when the Worker asks for a heartbeat. */
  async mute() {
    this.ctx.setWebSocketAutoResponse();
  }

  /** Both in one turn. */
  async clearAndIssue(name) {
    this.hub.clear();
    return this.hub.allocateId(name);
  }

  async isRegistered(id) {
    return this.hub.isRegistered(id);
  }

  async rows() {
    const count = (table) => this.ctx.storage.sql.exec(`SELECT count(*) AS n FROM ${table}`).one().n;
    return { clients: count('sse_clients'), frames: count('sse_frames') };
  }
}

/** What of these options `createWorker` says is wrong. */
function refused(options) {
  try {
    createWorker(options);
    return null;
  } catch ({ code, field }) {
    return { code, field };
  }
}

const auth = (env) => ({ token: env.TOKEN });
const worker = createWorker({ auth });
const holding = createWorker({ auth, hibernate: true });
const byGroup = createWorker({ prefix: '/groups/', auth, shardBy: 'group' });
const byTopic = createWorker({ prefix: '/topics/', auth, shardBy: 'topic' });

/** Opens a stream as the Worker does and takes nothing of it: how many bytes came until it was ended, and how that was. */
async function takeNothing(stub) {
  const { webSocket: socket } = await stub.fetch('http://hub/events?topic=untaken', { headers: { upgrade: 'websocket' } });
  let bytes = 0;
  const end = new Promise((resolve) => socket.addEventListener('close', ({ code, reason }) => resolve({ bytes, code, reason })));
  socket.binaryType = 'arraybuffer';
  socket.addEventListener('message', ({ data }) => (bytes += data.byteLength));
  socket.accept();
  // The stub keeps the object in memory until it is collected, and given up while this request runs.
  let garbage = [];
  const collecting = setInterval(() => (garbage = garbage.length < 16 ? [...garbage, new Uint8Array(1 << 22)] : []), 100);
  return end.finally(() => clearInterval(collecting));
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname.startsWith('/groups/')) return byGroup.fetch(request, env);
    if (url.pathname.startsWith('/topics/')) return byTopic.fetch(request, env);
    const { hibernate } = JSON.parse(env.OPTIONS ?? '{}');
    if (!url.pathname.startsWith('/test/')) return (hibernate ? holding : worker).fetch(request, env);
    const [, , name, verb] = url.pathname.split('/');
    const stub = env.SSE_HUB.get(env.SSE_HUB.idFromName(name));
    if (verb === 'refused') return Response.json(refused(...JSON.parse(url.searchParams.get('args'))));
    if (verb === 'takeNothing') return Response.json(await takeNothing(stub));
    if (verb === 'hub') return stub.fetch(`http://hub/${url.searchParams.get('path')}`, { method: request.method, body: request.body });
    const answer = stub[verb](...JSON.parse(url.searchParams.get('args') ?? '[]'));
    try {
      return Response.json((await answer) ?? null);
    } catch (error) {
      return new Response(String(error), { status: 500 });
    } finally {
      // It keeps the object in memory else, until garbage is collected.
      answer[Symbol.dispose]();
    }
  },
};
