import http from 'node:http';
import { SSEService, type SSEID } from 'sse-wasm/compat/sse-spec';

const service = new SSEService({ heartbeatInterval: -1, maxNbConnections: 100 });
http.createServer(service.register);
service.on('connection', (id: SSEID, { sse }) => service.send({ event: 'hello', data: sse.lastEventId, id: '1' }, id, () => {}));
service.on('error', ({ code }) => console.log(code));
service.sendData({ hello: 'world' });
service.sendEvent('tick', 1, '7', (locals) => locals.sse.lastEventId === undefined, null);
service.sendComment('hi', (error) => console.log(error?.message));
service.sendRetry(5000);
service.resetLastEventId();
service.unRegister((locals) => locals['user'] === 'ann', null);
service.close();

// @ts-expect-error Seconds are a number.
new SSEService({ heartbeatInterval: '15s' });
// @ts-expect-error There is no such event.
service.on('close', () => {});
// @ts-expect-error Milliseconds are a number.
service.sendRetry('5000');
