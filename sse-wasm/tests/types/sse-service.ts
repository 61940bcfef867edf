import http from 'node:http';
import http2 from 'node:http2';
import {
  connectSSE, createService, getAllClientObjs, getClientObj, sendSSEToAll, sendSSEToClient, sendSSEToConnection, setClientMetadata,
} from 'sse-wasm/compat/sse-service';

http.createServer((req, res) => {
  const { client, currConnection } = connectSSE({ req, res, clientId: 'ann', meta: { name: 'Ann' }, onDisconnectCb: () => {} });
  sendSSEToConnection(currConnection, { n: 1 }, 'tick', 7, (error) => console.log(error?.message, client.connections.length));
});
http2.createServer((req, res) => void connectSSE({ req, res, originalResHeaders: { 'x-a': 'b' }, groupName: 'g' }));
sendSSEToClient('ann', 'hello', 'message', 'g', '1');
sendSSEToAll({ hello: 'world' });
console.log(getClientObj('ann')?.meta, getAllClientObjs('g').length, setClientMetadata('ann', {})?.clientId);
createService({ keepAlive: -1 }).sendSSEToAll('hello');

// @ts-expect-error A response is needed.
http.createServer((req) => connectSSE({ req }));
// @ts-expect-error A client that may not be there.
getClientObj('ann').connections;
// @ts-expect-error Metadata is an object.
setClientMetadata('ann', 'Ann');
