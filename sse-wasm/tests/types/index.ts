import { SseDecoderStream, SseEncoderStream, SseError, createHub, encodeEvent, events, type SseEvent } from 'sse-wasm';

export async function read(url: string): Promise<string> {
  let text = '';
  const response = await fetch(url, { method: 'POST' });
  for await (const { type, data, lastEventId } of events(response, { maxLine: 1 << 20, signal: AbortSignal.timeout(1000) })) {
    text += type + data + lastEventId;
  }
  return text;
}

export function streams(response: Response): ReadableStream<SseEvent> {
  const bytes: Uint8Array = encodeEvent({ event: 'tick', data: { n: 1 }, id: '7', retry: 1000 });
  void bytes;
  return response.body!.pipeThrough(new SseEncoderStream() as never).pipeThrough(new SseDecoderStream());
}

export async function serve(request: Request): Promise<Response> {
  const tasks = { a: 'worker' as const, b: ({ params }: { params: unknown }) => params };
  await using hub = createHub({ auth: { token: 'x'.repeat(16) }, limits: { clients: 10 }, tasks });
  try {
    const id: string = hub.publish({ client: { id: 'ann_1', group: 'g' } }, { data: [1] });
    const ids: string[] = hub.publishAll([{ to: 'all', event: 'hello' }, { to: { topic: id }, event: { comment: 'c' } }]);
    void ids;
  } catch (error) {
    if (error instanceof SseError && error.code === 'unknown-client') console.log(error.field);
  }
  return hub.handle(request);
}

const hub = createHub();
// @ts-expect-error There is no such option.
createHub({ heartBeat: 1 });
// @ts-expect-error Limits are numbers.
createHub({ limits: { clients: '10' } });
// @ts-expect-error Only these choices.
createHub({ overrun: 'drop' });
// @ts-expect-error A target has a name.
hub.publish({}, 'hello');
// @ts-expect-error A reconnection time is a number.
hub.publish('all', { retry: '5' });
// @ts-expect-error Usage is told, not set.
hub.usage = {};
// @ts-expect-error Not a source of bytes.
events(7);
// @ts-expect-error An event is an object or text.
encodeEvent(7);
