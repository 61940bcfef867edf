// A whole hub on Cloudflare: the routes of sse-hub below /sse/, in one object or, by shardBy, in one for each group or topic.
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

export default createWorker({ prefix: '/sse/', auth: (env) => ({ token: env.SSE_HUB_TOKEN }) });
