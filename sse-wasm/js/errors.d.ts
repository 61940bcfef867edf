/** What the hub and the streams throw. */
export declare class SseError extends Error {
  constructor(code: string, message: string, field?: string);
  /** For programs, such as `unknown-client`, `full`, `too-large`, `invalid-name`, `closed`. */
  readonly code: string;
  /** The option, parameter or part of an event to blame; empty when there is none. */
  readonly field: string;
}
