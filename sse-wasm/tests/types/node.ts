import http from 'node:http';
import http2 from 'node:http2';
import { createHub, type Connection } from 'sse-wasm/node';

const hub = createHub({
  tasks: { report: async ({ client, progress }) => (progress({ percent: 50 }), { of: client.id }) },
  onConnect: ({ connection, returning }) => console.log(connection.id, returning),
});
http.createServer((request, response) => hub.node(request, response)).listen(3000);
http.createServer((request, response) => hub.node(request, response, () => response.writeHead(404).end()));
http2.createServer((request, response) => hub.node(request, response));
http.createServer((_, response) => {
  const connection: Connection = hub.openOn(response, { name: 'ann', topics: ['news'] }, { 'content-type': 'text/event-stream' });
  hub.finish(connection);
});

hub.publish({ topic: 'news' }, { data: { hello: 'world' } });
hub.submitTask('ann_1', 'report', { year: 2026 });
const [first] = hub.clients();
console.log(first?.topics.join(), hub.usage.connections, hub.tasks('ann_1').map(({ status }) => status));

// @ts-expect-error A request comes first.
http.createServer((request, response) => hub.node(response, request));
// @ts-expect-error There is no greeting of this kind.
hub.stream({ greeting: 'hello' });
// @ts-expect-error A task is a function or 'worker'.
createHub({ tasks: { report: 'nobody' } });
