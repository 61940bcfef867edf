/**
 * System G: a drop-in for npm `sse-service`. Change one import:
 *
 * ```js
 * import { connectSSE, sendSSEToClient } from 'sse-wasm/compat/sse-service'; // was: 'sse-service'
 * ```
 *
 * The README lists where it differs from the original, on purpose.
 */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';

export type HttpRequest = IncomingMessage | Http2ServerRequest;
export type HttpResponse = ServerResponse | Http2ServerResponse;
export type HttpResponseHeaders = OutgoingHttpHeaders;

/** Text, or anything that JSON can hold. */
export type Message = string | Record<any, any> | any[];

/** One client of a group. The object stays the same while it has connections. */
export interface SSEClientObjInterface {
  /** Its open responses, in the order they came. */
  connections: HttpResponse[];
  meta?: Record<string, any>;
  clientId: string;
}

/** A connection to open. */
export interface ConnectParameters {
  req: HttpRequest;
  res: HttpResponse;
  /** What the framework would send along. The headers of a stream win, whatever the case of names. */
  originalResHeaders?: HttpResponseHeaders;
  /** Kept with the client by its first connection. */
  meta?: Record<string, any>;
  /** Whose the connection is; a UUID when there is none. Any text. */
  clientId?: string;
  /** Called once, when the connection is gone. */
  onDisconnectCb?: () => void;
  /** The namespace of the client's id. */
  groupName?: string;
}

/** What a service of its own is made with. Times are milliseconds; a negative one means never. */
export interface ServiceOptions {
  /** After how long without a message a connection gets the comment `keep-alive`. Default 20,000. */
  keepAlive?: number;
  /** After how long a peer that takes nothing is given up. Default 30,000. */
  writeStall?: number;
  /** Limits of the engine by name. By default 1,024 connections a client, messages of 1 MiB, 16 MiB for those that are slow. */
  limits?: Record<string, number>;
}

/** The functions of the original. */
export interface SSEServiceFunctions {
  /**
   * Opens a stream on `res`.
   * @throws `full` at a limit, `too-long` or `invalid-name` for an id; the response is untouched then.
   */
  connectSSE(parameters: ConnectParameters): { client: SSEClientObjInterface; currConnection: HttpResponse };
  /**
   * Sends to all connections of a client; to nobody when there is no such client. With one argument, a function that takes the rest; with
   * promises among the arguments, a promise.
   * @throws `invalid-field` for an event type or id with a line break, `too-large`.
   */
  sendSSEToClient(clientId: string, msg: Message, eventType?: string, groupName?: string, sseMsgId?: number | string): void;
  /** Sends to everyone of one group; to nobody when there is no such group. */
  sendSSEToAll(msg: Message, eventType?: string, groupName?: string, sseMsgId?: number | string): void;
  /**
   * Sends to one connection. `onWriteCb` is called once the socket has taken it, in order, and with an error when the connection goes
   * before. Of one connection 65,536 may wait.
   */
  sendSSEToConnection(connection: HttpResponse, msg: Message, eventType?: string, sseMsgId?: number | string, onWriteCb?: (error?: Error) => void): void;
  /** A client of a group, while it has connections. */
  getClientObj(clientId: string, groupName?: string): SSEClientObjInterface | undefined;
  /** Everyone of one group; empty when there is nobody. */
  getAllClientObjs(groupName?: string): SSEClientObjInterface[];
  /** Replaces the metadata of a client, and returns it. */
  setClientMetadata(clientId: string, meta: Record<string, any>, groupName?: string): SSEClientObjInterface | undefined;
}

/** A service of its own. */
export declare function createService(options?: ServiceOptions): SSEServiceFunctions;

export declare const connectSSE: SSEServiceFunctions['connectSSE'];
export declare const sendSSEToClient: SSEServiceFunctions['sendSSEToClient'];
export declare const sendSSEToAll: SSEServiceFunctions['sendSSEToAll'];
export declare const sendSSEToConnection: SSEServiceFunctions['sendSSEToConnection'];
export declare const getClientObj: SSEServiceFunctions['getClientObj'];
export declare const getAllClientObjs: SSEServiceFunctions['getAllClientObjs'];
export declare const setClientMetadata: SSEServiceFunctions['setClientMetadata'];
