// A whole hub on Cloudflare: the routes of sse-hub below /sse/, in one object or, by shardBy, in one for each group or topic; and another below
// /quiet/, which hibernates.
import { SseHubObject, createWorker } from 'sse-wasm/worker';

export class SseHub extends SseHubObject {
  static options = {
    tasks: {
      // Done here; what takes longer than an object lives is a 'worker' and reported on complete/:id/:task.
      greet: async ({ params, progress }) => {
        progress({ percent: 50 });
        return { greeting: `hello, ${params?.name ?? 'you'}` };
      },
      report: 'worker',
    },
  };
}

/** The same for streams that are mostly silent: its objects hibernate, and cost while something happens. */
export class QuietHub extends SseHubObject {
  static options = { hibernate: true };
}

const auth = (env) => ({ token: env.SSE_HUB_TOKEN });
const hub = createWorker({ prefix: '/sse/', auth });
const quiet = createWorker({ prefix: '/quiet/', auth, binding: 'QUIET_HUB', hibernate: true });

export default {
  fetch: (request, env) => (new URL(request.url).pathname.startsWith('/quiet/') ? quiet : hub).fetch(request, env),
};
