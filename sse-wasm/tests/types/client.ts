import { EventSource, ServerEventClient, SharedSource, SseDecoderStream, SseError, events } from 'sse-wasm/client';

declare const show: (value: unknown) => void;

const source = new EventSource('/events', {
  headers: { authorization: 'Bearer x' },
  liveness: 45_000,
  retry: { statuses: true, attempts: 10 },
});
source.addEventListener('price', ({ data, lastEventId }) => show(JSON.parse(data) + lastEventId));
source.addEventListener('error', ({ code, status }) => show([code, status]));
source.onerror = ({ code, delay }) => console.warn(code, delay === undefined ? 'it is over' : `again in ${delay} ms`);
source.onmessage = function ({ data }) { show([this.readyState === EventSource.OPEN, data]); };

const shared = new SharedSource('/events', { replay: 10 });
shared.onmessage = ({ data }) => show(data);
show(shared.isLeader);

export async function follow() {
  for await (const { type, data } of source) show(type + data);
  for await (const { type, data } of events(await fetch('/events'))) show(type + data);
  const reader = (await fetch('/events')).body!.pipeThrough(new SseDecoderStream()).getReader();
  show((await reader.read()).value?.lastEventId);

  const callbacks = { sseTaskCompleted: (task: string) => console.log(`${task} is done`) };
  const client = await ServerEventClient.create('bob', 'http://127.0.0.1:8080', callbacks);
  await client.listen('clock-tick');
  await client.submitTask('sleep', { seconds: 1 });
  for await (const { key } of client.notifications()) console.log(key);
  for await (const message of client) {
    if (message.kind === 'completed') show(message.task + message.timestamp);
    // @ts-expect-error A message that is missed has no task.
    if (message.kind === 'gap') show(message.task);
  }
  try {
    await client.disconnect();
  } catch (error) {
    if (error instanceof SseError) show(error.code);
  }
}

// @ts-expect-error Milliseconds are a number.
new EventSource('/events', { liveness: '45s' });
// @ts-expect-error A client is made by create().
new ServerEventClient();
// @ts-expect-error Its state is told, not set.
source.readyState = 2;
// @ts-expect-error All tabs have one connection: nobody is told what only one of them decodes.
new SharedSource('/events', { onComment: () => {} });
// @ts-expect-error Comments are text.
events(new Response(''), { onComment: (comment: number) => show(comment) });
