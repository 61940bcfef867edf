import http from 'node:http';
import ServerEventMgr, { createManager, notifyListeners, type Router } from 'sse-wasm/compat/server-event-mgr';

const router: Router = ServerEventMgr.createRouter('/sse/');
http.createServer((request, response) => router(request, response));
const id: string = ServerEventMgr.getUniqueID('bob');
http.createServer((_, response) => ServerEventMgr.registerListener(id, response));
ServerEventMgr.addListenKey(id, 'clock-tick');
notifyListeners('clock-tick', ['bob']);
export const done: Promise<true> = ServerEventMgr.notifyCompletions(id, 'report');
const own = createManager({ tasks: { sleep: async ({ params }) => params, report: 'worker' }, resume: true });
own.setNotifyListenersChanged(true);
own.close();

// @ts-expect-error A prefix is text.
ServerEventMgr.createRouter(7);
// @ts-expect-error User names are a list.
notifyListeners('clock-tick', 'bob');
// @ts-expect-error There is no such form.
createManager({ payloads: 'named' });
